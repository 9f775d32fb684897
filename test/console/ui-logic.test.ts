/** What the console decides without a browser: problems, the hour of metrics, and reading the text of metrics. */
import { describe, expect, test } from "bun:test";
import { samplesOf } from "../../src/console/ui/api/metrics-text.ts";
import type { Health, MetricsHistory } from "../../src/console/ui/api/responses.ts";
import { formatDuration, formatNumber, formatShare } from "../../src/console/ui/components/format.ts";
import { extended, historyPath, latest } from "../../src/console/ui/overview/history.ts";
import { problemsOf } from "../../src/console/ui/overview/problems.ts";
import { overviewTexts, problemTexts } from "../../src/console/ui/texts/overview.ts";
import { replicaStateNames } from "../../src/replication/node-health.ts";

const good: Health = {
  ...{ status: "ok", role: "edge", node: "edge-1", state: "LIVE", epoch: "0123456789abcdef", term: 1, offset: 7 },
  ...{ digest: null, age_ms: 12, feed_connected: true, brokers: [{ broker: "broker:1883", connected: true }] },
};
const nothing = {
  environments: undefined,
  storageOk: undefined,
  hasForeignHistory: undefined,
  errorsPerSecond: undefined,
};

describe("problems", () => {
  test("are none of a node that is well, and of one that is not known yet", () => {
    expect(problemsOf({ ...nothing, health: good })).toEqual([]);
    expect(problemsOf({ ...nothing, health: undefined })).toEqual([]);
    expect(
      problemsOf({ ...nothing, health: good, storageOk: true, hasForeignHistory: false, errorsPerSecond: 0 }),
    ).toEqual([]);
  });

  test.each([
    [{ health: { ...good, status: "not ready" } }, "error", problemTexts.notReady.title],
    [{ health: { ...good, state: "DISCONNECTED" } }, "error", problemTexts.disconnected.title],
    [{ health: { ...good, state: "FENCED" } }, "error", problemTexts.fenced.title],
    [{ health: { ...good, state: "DIVERGED" } }, "error", problemTexts.diverged.title],
    [{ health: { ...good, degraded: "its storage fails" } }, "error", "its storage fails"],
    [{ health: { ...good, unreplicated_events: 3 } }, "error", "3 events"],
    [{ health: { ...good, state: "STALE_FEED" } }, "warning", problemTexts.staleBroker.title],
    [{ health: { ...good, pledged_to: "edge-2" } }, "warning", "edge-2"],
    [{ health: { ...good, brokers: [{ broker: "b:1", connected: false }] } }, "warning", "b:1"],
    [{ storageOk: false }, "error", problemTexts.disk.title],
    [{ hasForeignHistory: true }, "error", problemTexts.foreignHistory.title],
    [{ errorsPerSecond: 0.25 }, "error", "0.25 per second"],
    [
      { environments: [{ id: "shop", name: "Shop", created: null, state: "active", failure: "no space" }] },
      "error",
      "shop",
    ],
  ] as const)("%j is a problem: %s, %s", (changed, severity, part) => {
    const problems = problemsOf({ ...nothing, health: good, ...changed });
    expect(problems).toEqual([{ severity, title: expect.stringContaining(part), remedy: expect.any(String) }]);
  });

  test("that are errors come before warnings", () => {
    const health = { ...good, pledged_to: "b", status: "not ready", degraded: "c" } as const;
    expect(problemsOf({ ...nothing, health }).map(({ severity }) => severity)).toEqual(["error", "error", "warning"]);
  });
});

function historyOf(times: readonly number[]): MetricsHistory {
  const values = times.map((timeMs) => timeMs / 2);
  const names = ["requests_per_second", "errors_per_second", "decisions_per_second", "allowed_share"] as const;
  const others = ["decision_p50_ms", "decision_p99_ms", "cache_hit_share"] as const;
  const visible = ["commit_to_visible_p50_ms", "commit_to_visible_p99_ms"] as const;
  const series = Object.fromEntries([...names, ...others, ...visible].map((name) => [name, values] as const));
  const of = { node: "edge-1", environment: "e" };
  return { ...of, interval_ms: 5000, times, series: series as unknown as MetricsHistory["series"] };
}

test("the hour of metrics grows by the samples after the last one, and loses those that are older", () => {
  expect(historyPath(undefined)).toBe("/api/metrics_history");
  expect(historyPath(historyOf([]))).toBe("/api/metrics_history");
  expect(historyPath(historyOf([5, 1_000]))).toBe("/api/metrics_history?since=1970-01-01T00%3A00%3A01.000Z");
  const hourMs = 3_600_000;
  const grown = extended(historyOf([1000, 6000]), historyOf([hourMs + 5000]));
  expect(grown).toEqual(historyOf([6000, hourMs + 5000]));
  expect(extended(grown, historyOf([]))).toEqual(grown);
  expect(extended(undefined, grown)).toBe(grown);
  expect([latest(grown, "allowed_share"), latest(undefined, "allowed_share")]).toEqual([
    (hourMs + 5000) / 2,
    undefined,
  ]);
});

test("the text of metrics is read without the series of hosted environments", () => {
  const text = [
    "# HELP ostiary_node_info Always 1",
    'ostiary_node_info{role="edge",version="0.1.0"} 1',
    'ostiary_node_info{role="edge",version="0.1.0",environment="shop"} 1',
    "ostiary_stored_facts 7",
    "ostiary_stored_facts_other 8",
    String.raw`ostiary_x{a="\"}, b"} 2e3`,
  ].join("\n");
  expect(samplesOf(text, "ostiary_node_info")).toEqual([{ labels: { role: "edge", version: "0.1.0" }, value: 1 }]);
  expect(samplesOf(text, "ostiary_stored_facts")).toEqual([{ labels: {}, value: 7 }]);
  expect(samplesOf(text, "ostiary_x")).toEqual([{ labels: { a: String.raw`\"}, b` }, value: 2000 }]);
  expect(samplesOf(text, "ostiary_none")).toEqual([]);
});

test("each state of a node has words", () => {
  expect(Object.keys(overviewTexts.states).toSorted()).toEqual([...replicaStateNames].toSorted());
});

test("numbers are short", () => {
  expect([0.1234, 12.345, 1234.5, 0].map(formatNumber)).toEqual(["0.123", "12.3", "1,235", "0"]);
  expect([0.5, 999, 1500, 150_000, 3 * 3_600_000, 3 * 86_400_000].map(formatDuration)).toEqual([
    ...["0.5 ms", "999 ms", "1.5 s", "3 min", "3 h", "3 days"],
  ]);
  expect(formatShare(0.1234)).toBe("12.3%");
});
