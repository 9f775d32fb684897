/**
 * Rate limits for many holders: a token bucket for each. A bucket holds `capacity` tokens, so that a burst of that size
 * is allowed, and is refilled at a constant rate.
 */
import { LRUCache } from "lru-cache";
import { systemClock, type Clock } from "./clock.ts";

export interface TokenBucketOptions {
  readonly capacity: number;
  readonly perSecond: number;
  /** A holder that is forgotten has a full bucket again. */
  readonly holdersMax?: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export class TokenBuckets {
  readonly #options: TokenBucketOptions;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #buckets: LRUCache<string, Bucket>;

  constructor(options: TokenBucketOptions, clock: Pick<Clock, "monotonicMs"> = systemClock) {
    this.#options = options;
    this.#clock = clock;
    this.#buckets = new LRUCache({ max: options.holdersMax ?? 1000 });
  }

  /** Takes a token and returns 0, or takes none and returns after how many ms there is one. */
  take(holder: string): number {
    const { capacity, perSecond } = this.#options;
    const now = this.#clock.monotonicMs();
    let bucket = this.#buckets.get(holder);
    if (bucket === undefined) this.#buckets.set(holder, (bucket = { tokens: capacity, atMs: now }));
    bucket.tokens = Math.min(capacity, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = now;
    if (bucket.tokens < 1) return ((1 - bucket.tokens) / perSecond) * 1000;
    bucket.tokens -= 1;
    return 0;
  }
}
