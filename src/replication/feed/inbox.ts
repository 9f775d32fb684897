/**
 * Batches that came over the feed and were not applied yet, in order of arrival. It is bounded in number and bytes; what does not fit is
 * forgotten, since the log on the primary still has it and the gap will be noticed.
 */
import type { Batch } from "./envelope.ts";

export interface Inbox {
  /** False where there was no room. */
  push(batch: Batch, bytes: number): boolean;
  first(): Batch | undefined;
  /** Forgets the first. */
  shift(): void;
  clear(): void;
}

export function createInbox(messagesMax: number, bytesMax: number): Inbox {
  let entries: { readonly batch: Batch; readonly bytes: number }[] = [];
  let total = 0;
  return {
    push(batch, bytes) {
      if (entries.length >= messagesMax || total + bytes > bytesMax) return false;
      entries.push({ batch, bytes });
      total += bytes;
      return true;
    },
    first: () => entries[0]?.batch,
    shift() {
      total -= entries.shift()?.bytes ?? 0;
    },
    clear() {
      entries = [];
      total = 0;
    },
  };
}
