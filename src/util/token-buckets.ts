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

  /** After how many ms there is a token. */
  delayMs(holder: string): number {
    const { tokens } = this.#bucketOf(holder);
    return tokens >= 1 ? 0 : ((1 - tokens) / this.#options.perSecond) * 1000;
  }

  /** Takes a token. Returns false if there is none. */
  take(holder: string): boolean {
    const bucket = this.#bucketOf(holder);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #bucketOf(holder: string): Bucket {
    const { capacity, perSecond } = this.#options;
    const now = this.#clock.monotonicMs();
    let bucket = this.#buckets.get(holder);
    if (bucket === undefined) this.#buckets.set(holder, (bucket = { tokens: capacity, atMs: now }));
    bucket.tokens = Math.min(capacity, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = now;
    return bucket;
  }
}
