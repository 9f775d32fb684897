/**
 * The rate of writes: how many facts each API key, and all together, have changed in the last minute. The writer counts
 * what a write really changes, so a delete pattern counts each fact that it removes. Nothing is kept over a restart.
 */
import { LRUCache } from "lru-cache";
import type { Limits } from "../../config/limits.ts";
import type { Effect } from "../event/event.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import type { WriteResult } from "../append/append.ts";

const windowMs = 60_000;
/** Facts are counted by the second, so the window is up to one second longer. */
const stepMs = 1000;
/** An environment has fewer API keys. */
const holdersMax = 1000;

const allHolders = "all";
const holderOf = (sender: string): string => `key ${sender}`;

interface Count {
  /** When these facts leave the window. */
  readonly untilMs: number;
  facts: number;
}

export class FactRate {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** Oldest first. */
  readonly #counts = new LRUCache<string, Count[]>({ max: holdersMax });

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Throws `too_many_requests`, or `too_large` if the write never fits. Writes of the node itself are not limited. */
  require(sender: string | undefined, effect: Effect, limits: Limits): void {
    if (sender === undefined || effect.kind !== "facts") return;
    const facts = effect.inserted.length + effect.deleted.length;
    const { keyFactsPerMinuteMax, environmentFactsPerMinuteMax } = limits;
    this.#require(holderOf(sender), facts, keyFactsPerMinuteMax, "this API key");
    this.#require(allHolders, facts, environmentFactsPerMinuteMax, "this environment");
  }

  /** Counts the facts that a write has changed. */
  count(sender: string | undefined, { inserted = 0, deleted = 0, repeated }: WriteResult): void {
    if (sender === undefined || repeated === true || inserted + deleted === 0) return;
    this.add(holderOf(sender), inserted + deleted);
    this.add(allHolders, inserted + deleted);
  }

  #require(holder: string, facts: number, max: number, whose: string): void {
    if (max === 0) return;
    const change = `${whose} may change ${max} facts per minute`;
    if (facts > max)
      throw new AppError(
        "too_large",
        `${change}, and this write changes ${facts}: send it in parts, nothing was written`,
      );
    const retryAfterMs = this.delayMs(holder, facts, max);
    if (retryAfterMs === 0) return;
    throw new AppError("too_many_requests", `${change}: send the write again later, nothing was written`, {
      retryAfterMs,
    });
  }

  /** After how many ms the holder may change so many facts; 0 if it may now. `facts` are at most `max`. */
  delayMs(holder: string, facts: number, max: number): number {
    const now = this.#clock.monotonicMs();
    const counts = this.#countsOf(holder, now);
    let excess = counts.reduce((sum, count) => sum + count.facts, facts) - max;
    if (excess <= 0) return 0;
    const last = counts.find((count) => (excess -= count.facts) <= 0);
    return (last?.untilMs ?? now + windowMs) - now;
  }

  add(holder: string, facts: number): void {
    const now = this.#clock.monotonicMs();
    const counts = this.#countsOf(holder, now);
    const untilMs = (Math.floor(now / stepMs) + 1) * stepMs + windowMs;
    const last = counts.at(-1);
    if (last?.untilMs === untilMs) last.facts += facts;
    else counts.push({ untilMs, facts });
  }

  #countsOf(holder: string, now: number): Count[] {
    const counts = (this.#counts.get(holder) ?? []).filter(({ untilMs }) => untilMs > now);
    this.#counts.set(holder, counts);
    return counts;
  }
}
