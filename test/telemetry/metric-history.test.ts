/** The history of metrics: what is sampled, in which environment, and that its memory is bounded. */
import { describe, expect, test } from "bun:test";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { historyIntervalMs, MetricHistory } from "../../src/telemetry/metric-history.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { quantile } from "../../src/telemetry/quantile.ts";
import { must } from "../../src/util/assert.ts";

/** Time passes only when the test says so. */
class ManualClock {
  nowMs = 1_000_000;
  #tick: (() => void) | undefined;

  monotonicMs = () => this.nowMs;
  wallMs = () => this.nowMs + 5;
  every = (intervalMs: number, body: () => void) => {
    expect(intervalMs).toBe(historyIntervalMs);
    this.#tick = body;
    return () => (this.#tick = undefined);
  };

  pass(): void {
    this.nowMs += historyIntervalMs;
    this.#tick?.();
  }
}

function inNewEnvironment(id: string, body: (clock: ManualClock, history: MetricHistory) => void): void {
  inEnvironment(id, () => {
    const clock = new ManualClock();
    const history = new MetricHistory(clock);
    history.start();
    body(clock, history);
    history.close();
  });
}

const decided = { method: "POST", route: "/api/authorize", status: 200, outcome: "allow" };

describe("a sample", () => {
  test("has the rates, shares and percentiles of its interval", () =>
    inNewEnvironment("history-a", (clock, history) => {
      for (let index = 0; index < 90; index++) metrics.httpDuration.observe(decided, 0.0004);
      for (let index = 0; index < 10; index++) metrics.httpDuration.observe(decided, 0.004);
      metrics.httpDuration.observe({ ...decided, status: 503, outcome: "failed" }, 3);
      metrics.httpDuration.observe({ ...decided, status: 400, outcome: "refused" }, 3);
      metrics.decisions.inc({ result: "allow" }, 75);
      metrics.decisions.inc({ result: "deny" }, 25);
      clock.pass();
      clock.pass();
      const { times, series } = history.read();
      expect(times).toEqual([1_005_005, 1_010_005]);
      expect(series).toMatchObject({
        requests_per_second: [20.4, 0],
        errors_per_second: [0.2, 0],
        decisions_per_second: [20, 0],
        allowed_share: [0.75, null],
        // 50 of the 90 values between 0.25 and 0.5 ms, and 9 of the 10 values between 2.5 and 5 ms.
        decision_p50_ms: [0.3889, null],
        decision_p99_ms: [4.75, null],
        cache_hit_share: [null, null],
        commit_to_visible_p99_ms: [null, null],
      });
      expect(history.read(must(times[0])).times).toEqual([1_010_005]);
      expect(history.read(must(times[1])).times).toEqual([]);
    }));

  test("has nothing of other environments", () =>
    inNewEnvironment("history-b", (clock, history) => {
      metrics.httpDuration.observe(decided, 0.001);
      inEnvironment("history-c", () => metrics.decisions.inc({ result: "allow" }, 7));
      inEnvironment(undefined, () => metrics.decisions.inc({ result: "allow" }, 7));
      clock.pass();
      expect(history.read().series).toMatchObject({ requests_per_second: [0.2], decisions_per_second: [0] });
    }));

  test("of the default environment has what is counted for all", () => {
    const clock = new ManualClock();
    const history = new MetricHistory(clock);
    history.start();
    metrics.httpDuration.observe(decided, 0.001);
    metrics.decisionCache.inc({ result: "hit" }, 3);
    metrics.decisionCache.inc({ result: "miss" }, 1);
    metrics.commitToVisible.observe({}, 0.002);
    clock.pass();
    history.close();
    expect(history.read().series).toMatchObject({ cache_hit_share: [0.75], commit_to_visible_p50_ms: [1.75] });
  });
});

test("an idle environment takes no memory and has no samples", () =>
  inNewEnvironment("history-d", (clock, history) => {
    clock.pass();
    expect(history.read().times).toEqual([]);
  }));

test("the newest samples replace those that are older than an hour", () =>
  inNewEnvironment("history-e", (clock, history) => {
    for (let second = 0; second < 3700; second += historyIntervalMs / 1000) {
      metrics.httpDuration.observe(decided, 0.001);
      clock.pass();
    }
    const { times, series } = history.read();
    expect(times).toHaveLength(720);
    expect(times.at(-1)).toBe(clock.wallMs());
    expect(must(times.at(-1)) - must(times[0])).toBe(3600_000 - historyIntervalMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(new Set(series.requests_per_second)).toEqual(new Set([0.2]));
  }));

test.each([
  [[10, 0, 0], 0.5, 0.5],
  [[0, 10, 0], 0.5, 1.5],
  [[5, 5, 0], 0.99, 1.98],
  [[0, 0, 3], 0.5, 2],
  [[0, 0, 0], 0.5, undefined],
  [[], 0.5, undefined],
] as const)("of the buckets %j the quantile %d is %d", (counts, q, expected) => {
  expect(quantile([1, 2], counts, q)).toEqual(expected as number);
});
