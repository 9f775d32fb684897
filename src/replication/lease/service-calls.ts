/** Requests to a coordination service: time limits and bounded responses. */
import { deadline, type Clock } from "../../util/clock.ts";

/** The maximum duration of a whole call. After a failure the holder can try again before its lease expires. */
export function leaseCallTimeoutMs(ttlMs: number): number {
  return Math.floor(ttlMs / 3);
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

/** Reads a response. Throws if it is longer than any valid one. */
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

/** Undefined if the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
