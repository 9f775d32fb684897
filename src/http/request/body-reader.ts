/**
 * Reads the bodies of requests, within limits that hold for all requests together: a body has a size, a deadline and a minimum rate, and large ones share
 * a budget of bytes. Nothing is read of a request before its key was checked (`access.ts`), so what an unknown client sends costs no memory: the runtime
 * leaves it in the buffers of the system.
 *
 * The content type is not asked for: all bodies are JSON, and the first try with `curl -d` should work.
 */
import type { Limits } from "../../config/limits.ts";
import { AppError } from "../../util/app-error.ts";
import type { ByteBudget, ByteReservation } from "../response/byte-budget.ts";
import { describeJsonError } from "./json-error.ts";

/** Smaller bodies are read in one piece and not counted: `requestsInFlightMax` bounds how many of them there can be. */
const smallBytesMax = 8 * 1024;
/** Parsing so much takes the serving thread a millisecond or two at most, whatever it is. */
const parsedHereBytesMax = 64 * 1024;
const sweepIntervalMs = 500;

type BodyLimits = Pick<Limits, "bodyTimeoutMs" | "bodyBytesPerSecondMin">;

/** The part of an exchange that belongs to its body. */
export interface BodyOwner {
  /** The API key that sent the request; undefined if the route needs none. */
  readonly key: { readonly id: string } | undefined;
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

/** A body that is being read. */
interface PendingBody {
  readonly startedMs: number;
  receivedBytes: number;
  readonly reject: (error: AppError) => void;
  /** Where it is in the list; -1 where it is not. */
  index: number;
}

/** A set of them. A `Set` hashes each, which would take a fifth of the time of a whole request for a decision. */
class PendingBodies {
  readonly all: PendingBody[] = [];

  add(reading: PendingBody): void {
    reading.index = this.all.push(reading) - 1;
  }

  /** False where it is not in the set. */
  delete(reading: PendingBody): boolean {
    const { index: place } = reading;
    const last = place === -1 ? undefined : this.all.pop();
    if (last === undefined) return false;
    if (last !== reading) {
      this.all[place] = last;
      last.index = place;
    }
    reading.index = -1;
    return true;
  }
}

export class BodyReader {
  readonly #limits: BodyLimits;
  readonly #budget: ByteBudget;
  readonly #readings = new PendingBodies();
  #sweeping: ReturnType<typeof setInterval> | undefined;

  constructor(limits: BodyLimits, budget: ByteBudget) {
    this.#limits = limits;
    this.#budget = budget;
  }

  /**
   * The body as a string; empty where there is none. Its bytes stay in the budget until the exchange is finished. Rejects with AppError `too_large`,
   * `request_timeout` (too slow), `request_aborted` (the client went away) or `not_ready` (the budget is used up).
   */
  async read(owner: BodyOwner, request: Request, bytesMax: number): Promise<string> {
    const body = await this.readBody(owner, request, bytesMax);
    return body instanceof LargeBody ? decodeText(body.bytes) : body;
  }

  /** The same, where another thread parses large bodies: those stay bytes. */
  readBody(owner: BodyOwner, request: Request, bytesMax: number): Promise<string | LargeBody> {
    const declared = request.headers.get("content-length");
    if (declared === null && request.body === null) return Promise.resolve("");
    if (Number(declared) > bytesMax) return Promise.reject(tooLarge(bytesMax));
    return declared !== null && Number(declared) <= smallBytesMax
      ? this.#watched(owner, () => request.text())
      : this.#watched(owner, (reading) => this.#readPieces(owner, request, bytesMax, reading));
  }

  /** The body as a value; `null` where there is none, for the schema to judge. A large one is for `BodyParser`. */
  async readJson(owner: BodyOwner, request: Request, bytesMax: number): Promise<unknown> {
    const body = await this.readBody(owner, request, bytesMax);
    return body instanceof LargeBody ? body : parseJson(body);
  }

  /** One promise and two functions for a body: nearly all requests have a small one, and each further step is a tenth of their time. */
  #watched<T>(owner: BodyOwner, read: (reading: PendingBody) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const reading: PendingBody = { startedMs: performance.now(), receivedBytes: 0, reject, index: -1 };
      this.#readings.add(reading);
      this.#sweeping ??= setInterval(() => this.#sweep(), sweepIntervalMs);
      read(reading).then(
        (body) => {
          // A late one is nobody's any more.
          if (!this.#readings.delete(reading)) return undefined;
          owner.bodyIsRead = true;
          return resolve(body);
        },
        (error: unknown) => {
          this.#readings.delete(reading);
          reject(readError(error));
        },
      );
    });
  }

  #fail(reading: PendingBody, error: AppError): void {
    this.#readings.delete(reading);
    reading.reject(error);
  }

  async #readPieces(
    owner: BodyOwner,
    request: Request,
    bytesMax: number,
    reading: PendingBody,
  ): Promise<string | LargeBody> {
    const reader = request.body?.getReader();
    if (reader === undefined) return "";
    owner.bodyReservation ??= this.#budget.take(0, owner.key?.id ?? "");
    const pieces: Uint8Array[] = [];
    for (let piece = await reader.read(); !piece.done && reading.index !== -1; piece = await reader.read()) {
      reading.receivedBytes += piece.value.byteLength;
      if (reading.receivedBytes > bytesMax) throw tooLarge(bytesMax);
      // Twice: the pieces, and what they become.
      if (owner.bodyReservation?.resize(2 * reading.receivedBytes) !== true) throw tooMany;
      pieces.push(piece.value);
    }
    const bytes = Buffer.concat(pieces, reading.receivedBytes);
    return bytes.byteLength <= parsedHereBytesMax ? decodeText(bytes) : new LargeBody(bytes, owner.key?.id ?? "");
  }

  #sweep(): void {
    const { bodyTimeoutMs, bodyBytesPerSecondMin } = this.#limits;
    const now = performance.now();
    for (const reading of this.#readings.all.slice()) {
      const overtimeMs = now - reading.startedMs - bodyTimeoutMs;
      if (overtimeMs > (reading.receivedBytes / bodyBytesPerSecondMin) * 1000)
        this.#fail(
          reading,
          new AppError(
            "request_timeout",
            "the body of the request arrived too slowly, nothing was done: send it again",
          ),
        );
    }
    if (this.#readings.all.length > 0) return;
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }
}

const tooMany = new AppError(
  "not_ready",
  "this node holds too many bytes of other requests and responses, send the request again in a moment",
);

function readError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError("request_aborted", "the request ended before its body was complete", { cause: error });
}

/** The value that a body's text stands for; `null` for none. */
export function parseJson(text: string): unknown {
  if (text === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError("invalid_request", `the body is not JSON: ${describeJsonError(text)}`);
  }
  refuseHalfCharacters(text);
  return value;
}

/**
 * JSON may name half of a surrogate pair, UTF-8 can't hold it: the database would keep another text than the one that was hashed and
 * compared, and unlike ids would become the same. Only escapes can bring one in, since the body itself was UTF-8.
 */
function refuseHalfCharacters(json: string): void {
  if (!surrogate.test(json)) return;
  for (let at = json.indexOf("\\"); at !== -1;) {
    pair.lastIndex = at;
    if (pair.test(json)) {
      at = json.indexOf("\\", pair.lastIndex);
      continue;
    }
    half.lastIndex = at;
    if (half.test(json)) {
      const text = json.slice(at, half.lastIndex);
      throw new AppError("invalid_request", `the body has \`${text}\`, which is half of a character: send both halves`);
    }
    // Past the escape's letter, which may be a backslash.
    at = json.indexOf("\\", at + 2);
  }
}

const surrogate = /\\u[dD][89a-fA-F]/;
/** Escapes that stand where they are looked for: a whole pair, and half of one. */
const pair = /\\u[dD][89abAB]..\\u[dD][c-fC-F]../y;
const half = /\\u[dD][89a-fA-F]../y;

/** As `Request.text` decodes it. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function tooLarge(bytesMax: number): AppError {
  return new AppError(
    "too_large",
    `the body is larger than the ${bytesMax} bytes that are allowed here, send it in parts`,
  );
}
