/**
 * Batches that came over the feed and were not applied yet, in order of arrival. It is bounded in number and bytes; what does not fit is
 * forgotten, since the log on the primary still has it and the gap will be noticed.
 */
import type { EventBatch } from "../transport/messages.ts";

export interface ReceivedBatch {
  readonly batch: EventBatch;
  readonly bytes: number;
  /** When it arrived, in ms since 1970 with a fraction. */
  readonly atMs: number;
}

export interface BatchBuffer {
  /** False where there was no room. */
  push(received: ReceivedBatch): boolean;
  first(): ReceivedBatch | undefined;
  /** Forgets the first. */
  shift(): void;
  clear(): void;
}

export function createBatchBuffer(messagesMax: number, bytesMax: number): BatchBuffer {
  let entries: ReceivedBatch[] = [];
  let total = 0;
  return {
    push(received) {
      if (entries.length >= messagesMax || total + received.bytes > bytesMax) return false;
      entries.push(received);
      total += received.bytes;
      return true;
    },
    first: () => entries[0],
    shift() {
      total -= entries.shift()?.bytes ?? 0;
    },
    clear() {
      entries = [];
      total = 0;
    },
  };
}
