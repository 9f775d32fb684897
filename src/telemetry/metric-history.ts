/**
 * What a node did in the last hour, for charts: rates, shares and percentiles of each interval. They are sampled from
 * the metrics, so requests cost nothing more. Memory is bounded: the newest samples replace the oldest ones.
 */
import type { Clock } from "../util/clock.ts";
import { environmentLabel, otherEnvironments } from "./environment-label.ts";
import type { Distribution, RecordedSeries } from "./labelled-metrics.ts";
import { metrics } from "./metrics.ts";
import { quantile } from "./quantile.ts";

export const historyIntervalMs = 5000;
const historyMs = 60 * 60_000;
const samplesMax = historyMs / historyIntervalMs;

/** The values of a sample. `null` in the history: there was nothing to measure in the interval. */
export const historyFields = [
  "requests_per_second",
  "errors_per_second",
  "decisions_per_second",
  "allowed_share",
  "decision_p50_ms",
  "decision_p99_ms",
  "cache_hit_share",
  "commit_to_visible_p50_ms",
  "commit_to_visible_p99_ms",
] as const;
type HistoryField = (typeof historyFields)[number];

export interface HistoryPage {
  /** When each interval ended, in milliseconds since 1970, oldest first. */
  readonly times: readonly number[];
  /** For each field one value for each of `times`. */
  readonly series: Readonly<Record<HistoryField, readonly (number | null)[]>>;
}

/** The counters of the metrics at one moment. All of them only grow. */
interface Reading {
  readonly monotonicMs: number;
  readonly requests: number;
  readonly errors: number;
  readonly allowed: number;
  readonly denied: number;
  readonly cacheHits: number;
  readonly cacheMisses: number;
  /** By bucket. */
  readonly decisionTimes: readonly number[];
  readonly visibleTimes: readonly number[];
}

type HistoryClock = Pick<Clock, "monotonicMs" | "wallMs" | "every">;

/** The history of one environment on this node. */
export class MetricHistory {
  readonly #clock: HistoryClock;
  readonly #environment: string | undefined;
  /** Made with the first request, because most hosted environments of a node can be idle. */
  #ring: Float64Array | undefined;
  #count = 0;
  #last: Reading | undefined;
  #stop: (() => void) | undefined;

  /** Of the environment in which it is created. It is empty until `start`. */
  constructor(clock: HistoryClock) {
    this.#clock = clock;
    this.#environment = environmentLabel();
  }

  /** Samples until `close`. */
  start(): void {
    // Environments that share a label cannot be told apart.
    if (this.#environment === otherEnvironments) return;
    this.#last = this.#read();
    this.#stop = this.#clock.every(historyIntervalMs, () => this.sample());
  }

  close(): void {
    this.#stop?.();
  }

  /** Adds what happened since the last sample. */
  sample(): void {
    const [before, now] = [this.#last, this.#read()];
    this.#last = now;
    if (before === undefined || now.monotonicMs <= before.monotonicMs) return;
    if (this.#ring === undefined && now.requests === before.requests) return;
    this.#ring ??= new Float64Array(samplesMax * rowLength);
    const start = (this.#count++ % samplesMax) * rowLength;
    const values = valuesBetween(before, now);
    this.#ring.set([this.#clock.wallMs(), ...historyFields.map((field) => values[field] ?? Number.NaN)], start);
  }

  /** The samples after `sinceMs`, in milliseconds since 1970. */
  read(sinceMs = 0): HistoryPage {
    const [ring, count] = [this.#ring ?? new Float64Array(), this.#count];
    const rows = Array.from({ length: Math.min(count, samplesMax) }, (_, index) => {
      const start = ((count - Math.min(count, samplesMax) + index) % samplesMax) * rowLength;
      return ring.subarray(start, start + rowLength);
    }).filter(([timeMs = 0]) => timeMs > sinceMs);
    const column = (index: number) => rows.map((row) => rounded(row[index + 1] ?? Number.NaN));
    const columns = historyFields.map((field, index) => [field, column(index)] as const);
    return {
      times: rows.map(([timeMs = 0]) => timeMs),
      series: Object.fromEntries(columns) as unknown as HistoryPage["series"],
    };
  }

  #read(): Reading {
    const environment = this.#environment;
    const { httpDuration, decisions, decisionCache, commitToVisible } = metrics;
    const answered = httpDuration.seriesIn(environment);
    const isDefault = environment === undefined;
    return {
      monotonicMs: this.#clock.monotonicMs(),
      requests: total(answered.map(({ series }) => total(series.counts))),
      errors: total(answered.filter(isError).map(({ series }) => total(series.counts))),
      allowed: countOf(decisions.seriesIn(environment), "allow"),
      denied: countOf(decisions.seriesIn(environment), "deny"),
      // These are counted for all environments of the node together.
      cacheHits: isDefault ? countOf(decisionCache.seriesIn(undefined), "hit") : 0,
      cacheMisses: isDefault ? countOf(decisionCache.seriesIn(undefined), "miss") : 0,
      decisionTimes: sumOfBuckets(answered.filter(isDecision)),
      visibleTimes: isDefault ? sumOfBuckets(commitToVisible.seriesIn(undefined)) : [],
    };
  }
}

/** The time, and a value for each field. */
const rowLength = 1 + historyFields.length;

function isError({ labels }: RecordedSeries<Distribution>): boolean {
  return Number(labels["status"]) >= 500;
}

function isDecision({ labels }: RecordedSeries<Distribution>): boolean {
  return labels["route"] === "/api/authorize" && labels["status"] === 200;
}

function countOf(all: readonly RecordedSeries<{ readonly count: number }>[], result: string): number {
  return total(all.filter(({ labels }) => labels["result"] === result).map(({ series }) => series.count));
}

function sumOfBuckets(all: readonly RecordedSeries<Distribution>[]): number[] {
  const length = all[0]?.series.counts.length ?? 0;
  return Array.from({ length }, (_, bucket) => total(all.map(({ series }) => series.counts[bucket] ?? 0)));
}

function valuesBetween(before: Reading, now: Reading): Readonly<Record<HistoryField, number | undefined>> {
  const seconds = (now.monotonicMs - before.monotonicMs) / 1000;
  const grown = (counter: Exclude<keyof Reading, "decisionTimes" | "visibleTimes">) => now[counter] - before[counter];
  const [allowed, denied, hits, misses] = [grown("allowed"), grown("denied"), grown("cacheHits"), grown("cacheMisses")];
  const decided = difference(now.decisionTimes, before.decisionTimes);
  const visible = difference(now.visibleTimes, before.visibleTimes);
  const decisionMs = (share: number) => milliseconds(quantile(metrics.httpDuration.bounds, decided, share));
  const visibleMs = (share: number) => milliseconds(quantile(metrics.commitToVisible.bounds, visible, share));
  return {
    requests_per_second: grown("requests") / seconds,
    errors_per_second: grown("errors") / seconds,
    decisions_per_second: (allowed + denied) / seconds,
    allowed_share: share(allowed, denied),
    decision_p50_ms: decisionMs(0.5),
    decision_p99_ms: decisionMs(0.99),
    cache_hit_share: share(hits, misses),
    commit_to_visible_p50_ms: visibleMs(0.5),
    commit_to_visible_p99_ms: visibleMs(0.99),
  };
}

function difference(now: readonly number[], before: readonly number[]): number[] {
  return now.map((count, bucket) => count - (before[bucket] ?? 0));
}

function share(part: number, rest: number): number | undefined {
  return part + rest === 0 ? undefined : part / (part + rest);
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

/** Four digits are enough for a chart, and make the response short. */
function rounded(value: number): number | null {
  return Number.isNaN(value) ? null : Number(value.toPrecision(4));
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}
