/**
 * Calls of a coordination engine with a time limit. Each call of a lease ends within a third of its time to live, so
 * that the holder can try again before it expires. A failure names the engine and what to do.
 */
import { deadline, type Clock } from "../../../util/clock.ts";
import { reasonOf } from "../../../util/reason.ts";
import { LeaseLostError } from "./lease.ts";

export interface EngineCallsOptions {
  readonly engine: string;
  /** What to check after a failure. */
  readonly remedy: string;
  readonly ttlMs: number;
  readonly clock: Clock;
}

/** The maximum duration of a whole call. */
export function leaseCallTimeoutMs(ttlMs: number): number {
  return Math.floor(ttlMs / 3);
}

export class EngineCalls {
  readonly #budgetMs: number;
  readonly #options: EngineCallsOptions;
  readonly #closing = new AbortController();

  constructor(options: EngineCallsOptions) {
    this.#options = options;
    this.#budgetMs = leaseCallTimeoutMs(options.ttlMs);
  }

  /** Rejects with LeaseLostError if `body` does, and otherwise with a message that names the engine. */
  async run<Result>(what: string, body: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { engine, remedy, clock } = this.#options;
    using late = deadline(clock, this.#budgetMs);
    const signal = AbortSignal.any([late.signal, this.#closing.signal]);
    try {
      signal.throwIfAborted();
      return await body(signal);
    } catch (error) {
      if (error instanceof LeaseLostError) throw error;
      const reason = late.signal.aborted ? `it took longer than ${this.#budgetMs} ms` : reasonOf(error);
      throw new Error(`${engine} gave no usable answer to ${what}: ${reason}; ${remedy}`, { cause: error });
    }
  }

  close(): void {
    this.#closing.abort(new Error("this node is shutting down"));
  }
}

/** One attempt of a call. It gets a part of the time, which leaves some for another attempt. */
export async function withAttemptTimeout<Result>(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
  body: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  using late = deadline(clock, timeoutMs);
  try {
    return await body(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    if (late.signal.aborted && !signal.aborted) throw new Error(`no answer within ${timeoutMs} ms`, { cause: error });
    throw error;
  }
}

/** Far more than a record needs, even if other programs have added data. */
const answerBytesMax = 1024 * 1024;

/** Reads an engine's response. Throws if it is longer than any valid one. */
export async function readBoundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > answerBytesMax) throw new Error(`an answer of more than ${answerBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The error for a holder whose lease another node has acquired. */
export function leaseLostError(
  engine: string,
  record: { readonly node: string; readonly term: number } | undefined,
): LeaseLostError {
  const by =
    record === undefined ? "its record is gone" : `node \`${record.node}\` had it since, with term ${record.term}`;
  return new LeaseLostError(`the lease in ${engine} is lost: ${by}`);
}
