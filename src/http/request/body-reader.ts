/**
 * The reader of request bodies. A body has a maximum size, a deadline and a minimum rate, and large bodies share a
 * budget of bytes. No byte is read before the API key was checked (`access.ts`), so data from unknown clients costs no
 * memory: the runtime leaves it in the buffers of the system.
 *
 * The content type is ignored: all bodies are JSON, and a first request with `curl -d` should work.
 */
import type { Limits } from "../../config/limits.ts";
import { servingThreadBodyBytes, smallBodyBytes } from "../../util/tuning.ts";
import { AppError } from "../../util/app-error.ts";
import type { ByteBudget, ByteReservation } from "../response/byte-budget.ts";
import { describeJsonError } from "./json-error.ts";

const sweepIntervalMs = 500;
/** A refused body is read to its end if it has up to so many bytes and arrives in this time. */
const droppedBytesMax = 32 * 1024 * 1024;
const dropTimeoutMs = 2000;

type BodyLimits = Pick<Limits, "bodyTimeoutMs" | "bodyBytesPerSecondMin">;

/** The part of an exchange that belongs to its body. */
export interface BodyOwner {
  /** Who sent the request; undefined if the route is open to everybody. */
  readonly principal: { readonly id: string } | undefined;
  /** Whether the whole body has arrived. */
  bodyIsRead: boolean;
  /** The bytes of the budget that the body uses. */
  bodyReservation: ByteReservation | undefined;
}

/** A request body that is too large to be parsed on the serving thread: its bytes. */
export class LargeBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The id of the API key that sent it. */
  readonly holder: string;

  constructor(bytes: Uint8Array<ArrayBuffer>, holder: string) {
    this.holder = holder;
    this.bytes = bytes;
  }
}

type UseBody<Owner, Result> = (owner: Owner, body: string | LargeBody) => Result | Promise<Result>;

const bodyItself: UseBody<BodyOwner, string | LargeBody> = (_owner, body) => body;

/** A body that is being read. */
interface PendingBody {
  readonly startedMs: number;
  receivedBytes: number;
  readonly reject: (error: AppError) => void;
  /** Its index in the list; -1 after it was removed. */
  index: number;
}

export class BodyReader {
  readonly #limits: BodyLimits;
  readonly #budget: ByteBudget;
  /** A `Set` would hash each body, which takes a fifth of the time of a whole request for a decision. */
  readonly #pending: PendingBody[] = [];
  #sweepTimer: ReturnType<typeof setInterval> | undefined;

  constructor(limits: BodyLimits, budget: ByteBudget) {
    this.#limits = limits;
    this.#budget = budget;
  }

  /**
   * Returns the body as a string; empty if there is none. Its bytes stay in the budget until the exchange is finished.
   * Rejects with AppError `too_large`, `request_timeout` (too slow), `request_aborted` (the client closed the
   * connection) or `not_ready` (the budget is used up).
   */
  async read(owner: BodyOwner, request: Request, bytesMax: number): Promise<string> {
    const body = await this.readBody(owner, request, bytesMax);
    return body instanceof LargeBody ? decodeText(body.bytes) : body;
  }

  /** Like `read`, for routes whose large bodies are parsed on another thread: those stay bytes. */
  readBody(owner: BodyOwner, request: Request, bytesMax: number): Promise<string | LargeBody> {
    return this.withBody(owner, request, bytesMax, bodyItself);
  }

  /**
   * Returns a promise of what `use` returns for the body that `readBody` would return. Nothing happens between body and
   * `use`: each further promise is a thirtieth of the time of a request.
   */
  withBody<Owner extends BodyOwner, Result>(
    owner: Owner,
    request: Request,
    bytesMax: number,
    use: UseBody<Owner, Result>,
  ): Promise<Result> {
    const declared = request.headers.get("content-length");
    if (declared === null && request.body === null) return Promise.resolve(use(owner, ""));
    if (Number(declared) > bytesMax) return refuseLarge(owner, request, bytesMax);
    const isSmall = declared !== null && Number(declared) <= smallBodyBytes;
    return this.#watched(owner, request, isSmall ? undefined : bytesMax, use);
  }

  /** Returns the body as a value; `null` if there is none, which schemas refuse. `BodyParser` takes large bodies. */
  async readJson(owner: BodyOwner, request: Request, bytesMax: number): Promise<unknown> {
    const body = await this.readBody(owner, request, bytesMax);
    return body instanceof LargeBody ? body : parseJson(body);
  }

  /** Reads with the deadline: in pieces of up to `bytesMax` bytes together, or at once if it is undefined. */
  #watched<Owner extends BodyOwner, Result>(
    owner: Owner,
    request: Request,
    bytesMax: number | undefined,
    use: UseBody<Owner, Result>,
  ): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const index = this.#pending.length;
      const pending: PendingBody = { startedMs: performance.now(), receivedBytes: 0, reject, index };
      this.#pending.push(pending);
      this.#sweepTimer ??= setInterval(() => this.#sweep(), sweepIntervalMs);
      const reading = bytesMax === undefined ? request.text() : this.#readPieces(owner, request, bytesMax, pending);
      reading.then(
        (body) => {
          // The deadline has already refused the request.
          if (!this.#remove(pending)) return undefined;
          owner.bodyIsRead = true;
          try {
            return resolve(use(owner, body));
          } catch (error) {
            return reject(error);
          }
        },
        (error: unknown) => {
          this.#remove(pending);
          reject(readError(error));
        },
      );
    });
  }

  /** Returns false if the body is not in the list. */
  #remove(pending: PendingBody): boolean {
    const { index } = pending;
    const last = index === -1 ? undefined : this.#pending.pop();
    if (last === undefined) return false;
    if (last !== pending) {
      this.#pending[index] = last;
      last.index = index;
    }
    pending.index = -1;
    return true;
  }

  async #readPieces(
    owner: BodyOwner,
    request: Request,
    bytesMax: number,
    pending: PendingBody,
  ): Promise<string | LargeBody> {
    const reader = request.body?.getReader();
    if (reader === undefined) return "";
    owner.bodyReservation ??= this.#budget.reserve(0, owner.principal?.id ?? "");
    const pieces: Uint8Array[] = [];
    for (let piece = await reader.read(); !piece.done && pending.index !== -1; piece = await reader.read()) {
      pending.receivedBytes += piece.value.byteLength;
      if (pending.receivedBytes > bytesMax) throw tooLarge(bytesMax);
      // Twice the size: for the pieces and for the whole.
      if (owner.bodyReservation?.resize(2 * pending.receivedBytes) !== true) throw budgetExceeded;
      pieces.push(piece.value);
    }
    const bytes = Buffer.concat(pieces, pending.receivedBytes);
    return bytes.byteLength <= servingThreadBodyBytes
      ? decodeText(bytes)
      : new LargeBody(bytes, owner.principal?.id ?? "");
  }

  #sweep(): void {
    const { bodyTimeoutMs, bodyBytesPerSecondMin } = this.#limits;
    const now = performance.now();
    for (const pending of this.#pending.slice()) {
      const overtimeMs = now - pending.startedMs - bodyTimeoutMs;
      if (overtimeMs <= (pending.receivedBytes / bodyBytesPerSecondMin) * 1000) continue;
      this.#remove(pending);
      const message = "the body of the request arrived too slowly, nothing was done: send it again";
      pending.reject(new AppError("request_timeout", message));
    }
    if (this.#pending.length > 0) return;
    clearInterval(this.#sweepTimer);
    this.#sweepTimer = undefined;
  }
}

const budgetExceeded = new AppError(
  "not_ready",
  "this node holds too many bytes of other requests and responses, send the request again in a moment",
);

function readError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError("request_aborted", "the request ended before its body was complete", { cause: error });
}

/** Parses the text of a body; returns `null` for an empty one. */
export function parseJson(text: string): unknown {
  if (text === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError("invalid_request", `the body is not JSON: ${describeJsonError(text)}`);
  }
  refuseLoneSurrogates(text);
  return value;
}

/**
 * JSON can contain an escape of half a surrogate pair, which UTF-8 cannot represent: the database would store another
 * text than the one that was hashed and compared, and two different ids would become equal. Only escapes can contain
 * one, because the body itself was UTF-8.
 */
function refuseLoneSurrogates(json: string): void {
  if (!surrogate.test(json)) return;
  const [half] = surrogate.exec(json.replaceAll(otherEscape, "")) ?? [];
  if (half !== undefined)
    throw new AppError("invalid_request", `the body has \`${half}\`, which is half of a character: send both halves`);
}

const surrogate = /\\u[dD][89a-fA-F]../;
/** A pair of surrogates, or an escape of one character, which can be a backslash itself. */
const otherEscape = /\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|[^u])/g;

/** Decodes like `Request.text`. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/**
 * Rejects with `too_large`, after the body has arrived and was dropped: most clients send the whole body before they read
 * an answer, and report a broken connection if the node closes it before. A long or slow body is not awaited.
 */
async function refuseLarge(owner: BodyOwner, request: Request, bytesMax: number): Promise<never> {
  if (request.body !== null && Number(request.headers.get("content-length")) <= droppedBytesMax) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), dropTimeoutMs);
    });
    owner.bodyIsRead = await Promise.race([drop(request.body), deadline]);
    clearTimeout(timer);
  }
  throw tooLarge(bytesMax);
}

/** Reads to the end; false if the body ends with an error. After an answer the runtime ends what is left. */
async function drop(body: ReadableStream): Promise<boolean> {
  try {
    const reader = body.getReader();
    let piece = await reader.read();
    while (!piece.done) piece = await reader.read();
    return true;
  } catch {
    return false;
  }
}

function tooLarge(bytesMax: number): AppError {
  const message = `the body is larger than the ${bytesMax} bytes that are allowed here, send it in parts`;
  return new AppError("too_large", message);
}
