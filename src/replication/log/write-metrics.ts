/** Counts the writes of clients by kind and result. */
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import type { WriteRequest, WriteResult } from "./append.ts";

/**
 * Runs `write`, which calls `onCommitted` when the write is committed here. Later failures concern only
 * acknowledgements.
 */
export async function countWrite(
  kind: WriteRequest["kind"],
  write: (onCommitted: () => void) => Promise<WriteResult>,
): Promise<WriteResult> {
  let isCommitted = false;
  try {
    const result = await write(() => void (isCommitted = true));
    metrics.writes.inc({ kind, result: result.repeated ? "repeated" : result.unchanged ? "unchanged" : "done" });
    return result;
  } catch (error) {
    metrics.writes.inc({ kind, result: isCommitted ? "unacknowledged" : isRefusal(error) ? "refused" : "failed" });
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.code !== "not_ready" && error.code !== "internal";
}
