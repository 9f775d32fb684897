/**
 * Reads the bodies of requests, within limits that hold for all requests together: a body has a size, a deadline and a minimum rate, and large ones share
 * a budget of bytes. Nothing is read of a request before its key was checked (`access.ts`), so what an unknown client sends costs no memory: the runtime
 * leaves it in the buffers of the system.
 *
 * The content type is not asked for: all bodies are JSON, and the first try with `curl -d` should work.
 */
import type { Limits } from "../config/limits.ts";
import { AppError } from "../util/app-error.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { Exchange } from "./exchange.ts";
import { LargeBody } from "./large-body.ts";
import { describeJsonError } from "./json-error.ts";

/** Smaller bodies are read in one piece and not counted: `requestsInFlightMax` bounds how many of them there can be. */
const smallBytesMax = 8 * 1024;
/** Parsing so much takes the serving thread a millisecond or two at most, whatever it is. */
const parsedHereBytesMax = 64 * 1024;
const sweepIntervalMs = 500;

type Bytes = Uint8Array<ArrayBuffer>;

type BodyLimits = Pick<Limits, "bodyTimeoutMs" | "bodyBytesPerSecondMin">;

/** A body that is being read. */
interface Reading {
  readonly startedMs: number;
  receivedBytes: number;
  /** Ends it with the error. */
  readonly fail: (error: AppError) => void;
}

export class BodyReader {
  readonly #limits: BodyLimits;
  readonly #budget: ByteBudget;
  readonly #readings = new Set<Reading>();
  #sweeping: ReturnType<typeof setInterval> | undefined;

  constructor(limits: BodyLimits, budget: ByteBudget) {
    this.#limits = limits;
    this.#budget = budget;
  }

  /**
   * The body as a string; empty where there is none. Its bytes stay in the budget until the exchange is finished. Rejects with AppError `too_large`,
   * `request_timeout` (too slow), `request_aborted` (the client went away) or `not_ready` (the budget is used up).
   */
  async read(exchange: Exchange, request: Request, bytesMax: number): Promise<string> {
    const body = await this.#read(exchange, request, bytesMax);
    return typeof body === "string" ? body : decodeText(body);
  }

  /** The same, where another thread parses large bodies: those stay bytes. */
  async readBody(exchange: Exchange, request: Request, bytesMax: number): Promise<string | LargeBody> {
    const body = await this.#read(exchange, request, bytesMax);
    if (typeof body === "string") return body;
    return body.byteLength <= parsedHereBytesMax ? decodeText(body) : new LargeBody(body);
  }

  /** The body as a value; `null` where there is none, for the schema to judge. A large one is for `BodyParser`. */
  async readJson(exchange: Exchange, request: Request, bytesMax: number): Promise<unknown> {
    const body = await this.readBody(exchange, request, bytesMax);
    return body instanceof LargeBody ? body : parseJson(body);
  }

  close(): void {
    clearInterval(this.#sweeping);
    for (const reading of this.#readings) reading.fail(new AppError("not_ready", "this node is shutting down"));
  }

  #read(exchange: Exchange, request: Request, bytesMax: number): Promise<string | Bytes> {
    const declared = request.headers.get("content-length");
    if (declared === null && request.body === null) return Promise.resolve("");
    if (Number(declared) > bytesMax) return Promise.reject(tooLarge(bytesMax));
    return declared !== null && Number(declared) <= smallBytesMax
      ? this.#watched(exchange, () => request.text())
      : this.#watched(exchange, (reading) => this.#readPieces(exchange, request, bytesMax, reading));
  }

  async #watched<T>(exchange: Exchange, read: (reading: Reading) => Promise<T>): Promise<T> {
    const { promise: failed, reject } = Promise.withResolvers<never>();
    const reading: Reading = { startedMs: performance.now(), receivedBytes: 0, fail: reject };
    this.#readings.add(reading);
    this.#sweeping ??= setInterval(() => this.#sweep(), sweepIntervalMs);
    try {
      const text = await Promise.race([failed, read(reading)]);
      exchange.bodyIsRead = true;
      return text;
    } catch (error) {
      throw readError(error);
    } finally {
      this.#readings.delete(reading);
    }
  }

  async #readPieces(exchange: Exchange, request: Request, bytesMax: number, reading: Reading): Promise<Bytes> {
    const reader = request.body?.getReader();
    if (reader === undefined) return new Uint8Array();
    exchange.bodyLease ??= this.#budget.take(0);
    const pieces: Uint8Array[] = [];
    for (let piece = await reader.read(); !piece.done && this.#readings.has(reading); piece = await reader.read()) {
      reading.receivedBytes += piece.value.byteLength;
      if (reading.receivedBytes > bytesMax) throw tooLarge(bytesMax);
      // Twice: the pieces, and what they become.
      if (exchange.bodyLease?.resize(2 * reading.receivedBytes) !== true) throw tooMany;
      pieces.push(piece.value);
    }
    return Buffer.concat(pieces, reading.receivedBytes);
  }

  #sweep(): void {
    const { bodyTimeoutMs, bodyBytesPerSecondMin } = this.#limits;
    const now = performance.now();
    for (const reading of this.#readings) {
      const overtimeMs = now - reading.startedMs - bodyTimeoutMs;
      if (overtimeMs > (reading.receivedBytes / bodyBytesPerSecondMin) * 1000)
        reading.fail(
          new AppError(
            "request_timeout",
            "the body of the request arrived too slowly, nothing was done: send it again",
          ),
        );
    }
    if (this.#readings.size > 0) return;
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
