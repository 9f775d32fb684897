/**
 * How many traces a node records for itself while no collector decides: at most so many per second, so that the cost
 * does not grow with the load, and a node with few requests records all of them. Decisions and other requests have a
 * budget each, since there are many more decisions; requests and events of other nodes have a larger one, so that a
 * trace that another node has begun is complete.
 */

/** `none`: requests that are never worth a trace, such as health checks. */
export type TracedKind = "decision" | "request" | "continued" | "none";

const continuedFactor = 10;
/** All environments together. */
const environmentsFactor = 10;
const environmentsMax = 1000;

interface Bucket {
  tokens: number;
  atMs: number;
}

export class TraceBudget {
  readonly #perSecond: number;
  readonly #nowMs: () => number;
  readonly #buckets = {
    decision: new Map<string | undefined, Bucket>(),
    request: new Map<string | undefined, Bucket>(),
    continued: new Map<string | undefined, Bucket>(),
  };
  readonly #total: Bucket;

  /** `perSecond` traces of each kind in each environment. */
  constructor(perSecond: number, nowMs: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#nowMs = nowMs;
    this.#total = { tokens: perSecond * environmentsFactor * continuedFactor, atMs: nowMs() };
  }

  /** Whether to record a trace now. */
  take(environment: string | undefined, kind: TracedKind): boolean {
    if (kind === "none") return false;
    const nowMs = this.#nowMs();
    const perSecond = kind === "continued" ? this.#perSecond * continuedFactor : this.#perSecond;
    const buckets = this.#buckets[kind];
    let bucket = buckets.get(environment);
    if (bucket === undefined) {
      if (buckets.size >= environmentsMax) buckets.clear();
      buckets.set(environment, (bucket = { tokens: perSecond, atMs: nowMs }));
    }
    return (
      hasToken(bucket, perSecond, nowMs) &&
      hasToken(this.#total, this.#perSecond * environmentsFactor * continuedFactor, nowMs) &&
      spend(bucket, this.#total)
    );
  }
}

function hasToken(bucket: Bucket, perSecond: number, nowMs: number): boolean {
  if (bucket.tokens >= 1) return true;
  bucket.tokens = Math.min(perSecond, bucket.tokens + ((nowMs - bucket.atMs) * perSecond) / 1000);
  bucket.atMs = nowMs;
  return bucket.tokens >= 1;
}

function spend(...buckets: readonly Bucket[]): true {
  for (const bucket of buckets) bucket.tokens -= 1;
  return true;
}
