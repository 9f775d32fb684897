/**
 * The limits of requests of one API key and of all keys together: how many are at work at the same time, and how many
 * reads arrive in one second. They are off by default. A request is counted after its key is checked, and before its
 * body is read. The state is that of one node, and only as long as it runs.
 */
import type { Limits } from "../../config/limits.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { systemClock, type Clock } from "../../util/clock.ts";
import { TokenBuckets } from "../../util/token-buckets.ts";

export type RequestKind = "read" | "write";

interface Rate {
  readonly max: number;
  readonly buckets: TokenBuckets;
}

export class RequestLimits {
  readonly #limits: Limits;
  readonly #keyReads: Rate;
  readonly #allReads: Rate;
  /** Requests at work, by API key. */
  readonly #atWork = new Map<string, number>();
  #allAtWork = 0;

  constructor(limits: Limits, clock: Pick<Clock, "monotonicMs"> = systemClock) {
    this.#limits = limits;
    this.#keyReads = rateOf(limits.keyReadsPerSecondMax, clock);
    this.#allReads = rateOf(limits.environmentReadsPerSecondMax, clock);
  }

  /** Undefined if no such limit is set, so that requests need no check. */
  static of(limits: Limits): RequestLimits | undefined {
    const { keyRequestsInFlightMax, environmentRequestsInFlightMax } = limits;
    const { keyReadsPerSecondMax, environmentReadsPerSecondMax } = limits;
    const all = [keyRequestsInFlightMax, environmentRequestsInFlightMax, keyReadsPerSecondMax];
    return [...all, environmentReadsPerSecondMax].some((max) => max > 0) ? new RequestLimits(limits) : undefined;
  }

  /** Counts a request of a key. Returns the function that ends it. Throws `too_many_requests`. */
  admit(key: string, kind: RequestKind): () => void {
    const atWork = this.#atWork.get(key) ?? 0;
    const { keyRequestsInFlightMax, environmentRequestsInFlightMax } = this.#limits;
    requireFewer(atWork, keyRequestsInFlightMax, "this API key has");
    requireFewer(this.#allAtWork, environmentRequestsInFlightMax, "this environment has");
    if (kind === "read") this.#admitRead(key);
    this.#atWork.set(key, atWork + 1);
    this.#allAtWork += 1;
    return () => {
      const left = (this.#atWork.get(key) ?? 0) - 1;
      if (left > 0) this.#atWork.set(key, left);
      else this.#atWork.delete(key);
      this.#allAtWork -= 1;
    };
  }

  /** A refused read takes no token, so that refused requests of one key do not use up the rate of all. */
  #admitRead(key: string): void {
    requireToken(this.#keyReads, key, "this API key");
    requireToken(this.#allReads, "", "this environment");
    if (this.#keyReads.max > 0) this.#keyReads.buckets.take(key);
    if (this.#allReads.max > 0) this.#allReads.buckets.take("");
  }
}

function rateOf(max: number, clock: Pick<Clock, "monotonicMs">): Rate {
  return { max, buckets: new TokenBuckets({ capacity: max, perSecond: max }, clock) };
}

function requireFewer(count: number, max: number, whose: string): void {
  if (max === 0 || count < max) return;
  metrics.limitedRequests.inc({ limit: "concurrency" });
  throw new AppError("too_many_requests", `${whose} ${max} requests at work, which is the limit: wait for one of them`);
}

function requireToken({ max, buckets }: Rate, holder: string, whose: string): void {
  if (max === 0) return;
  const retryAfterMs = buckets.delayMs(holder);
  if (retryAfterMs === 0) return;
  metrics.limitedRequests.inc({ limit: "reads" });
  const message = `${whose} may read ${max} times per second: send fewer requests, or repeat this one later`;
  throw new AppError("too_many_requests", message, { retryAfterMs });
}
