/**
 * A bounded buffer of batches that arrived from the event stream and are not applied yet, in the order in which they
 * arrived. A batch that does not fit is dropped: the primary's log has its events, and the gap will be noticed.
 */
import type { EventBatch } from "../transport/messages.ts";

export interface ReceivedBatch {
  readonly batch: EventBatch;
  readonly bytes: number;
  /** When it arrived, in ms since 1970 with a fraction. */
  readonly atMs: number;
}

export function createBatchBuffer(messagesMax: number, bytesMax: number) {
  let entries: ReceivedBatch[] = [];
  let total = 0;
  return {
    /** Returns false if the buffer is full. */
    push(received: ReceivedBatch): boolean {
      if (entries.length >= messagesMax || total + received.bytes > bytesMax) return false;
      entries.push(received);
      total += received.bytes;
      return true;
    },
    first: () => entries[0],
    removeFirst(): void {
      total -= entries.shift()?.bytes ?? 0;
    },
    clear(): void {
      entries = [];
      total = 0;
    },
  };
}
