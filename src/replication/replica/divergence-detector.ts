/**
 * Notices that this copy is not what the primary has, although both stand at the same position: heads carry the primary's digest at an offset,
 * and this remembers its own for the last few thousand. A difference is a bug or a damaged disk, and never to be lived with.
 */
import { LRUCache } from "lru-cache";
import type { StoreState } from "../../store/log/store-state.ts";
import type { Head } from "../transport/messages.ts";

const digestsMax = 4096;

export interface DivergenceDetector {
  /** Notes what an event left behind. */
  record(epoch: string, offset: number, digest: string): void;
  /** False where this copy had another digest, or has another chain hash, at the head's position. True where nothing is known of it. */
  matches(head: Head, present: StoreState): boolean;
  clear(): void;
}

export function createDivergenceDetector(): DivergenceDetector {
  const digests = new LRUCache<string, string>({ max: digestsMax });
  return {
    record(epoch, offset, digest) {
      digests.set(`${epoch}:${offset}`, digest);
    },
    matches(head, present) {
      if (head.e === present.epoch && head.l === present.offset)
        return head.d === present.digest && head.h === present.hash;
      const own = digests.get(`${head.e}:${head.l}`);
      return own === undefined || own === head.d;
    },
    clear: () => digests.clear(),
  };
}
