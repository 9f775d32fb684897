/** The traces that a node keeps in memory: their limits, their environments, and how many are recorded. */
import { describe, expect, test } from "bun:test";
import { RecentTraces, type RecentSpan, spansPerTraceMax } from "../../src/telemetry/recent-traces.ts";
import { TraceBudget } from "../../src/telemetry/trace-budget.ts";

function span(id: number, attributes: RecentSpan["attributes"] = {}): RecentSpan {
  return {
    id: id.toString(16).padStart(16, "0"),
    parent: null,
    name: "x",
    kind: "internal",
    start_us: id,
    duration_us: 1,
    failed: false,
    attributes,
  };
}

function tracesOf(traceBufferTracesMax: number, traceBufferBytesMax = 1_000_000): RecentTraces {
  const traces = new RecentTraces();
  traces.configure({ traceBufferTracesMax, traceBufferBytesMax });
  return traces;
}

const idsOf = (traces: RecentTraces, environment?: string): string[] => traces.list(environment).map(({ id }) => id);

describe("the buffer", () => {
  test("keeps the newest traces, newest first, and all their spans", () => {
    const traces = tracesOf(2);
    for (const id of ["a", "b", "a", "c"]) traces.add(undefined, id, span(1));
    expect(idsOf(traces)).toEqual(["c", "b"]);
    traces.add(undefined, "b", span(2));
    expect(traces.spans(undefined, "b")).toHaveLength(2);
    expect(traces.spans(undefined, "a")).toEqual([]);
  });

  test("never gives an environment the spans of another, also of the same trace", () => {
    const traces = tracesOf(10);
    traces.add(undefined, "a", span(1));
    traces.add("shop", "a", span(2));
    expect(traces.spans(undefined, "a").map((each) => each.start_us)).toEqual([1]);
    expect(traces.spans("shop", "a").map((each) => each.start_us)).toEqual([2]);
    expect(traces.spans("other", "a")).toEqual([]);
    expect(idsOf(traces, "other")).toEqual([]);
  });

  test("drops the traces of the environment that has most of them", () => {
    const traces = tracesOf(3);
    traces.add("quiet", "q", span(1));
    for (const id of ["a", "b", "c", "d"]) traces.add("busy", id, span(1));
    expect(idsOf(traces, "quiet")).toEqual(["q"]);
    expect(idsOf(traces, "busy")).toEqual(["d", "c"]);
  });

  test("is bounded in bytes, in the spans of a trace, and in the length of a text", () => {
    const traces = tracesOf(1000, 100_000);
    for (let id = 0; id < 500; id++) traces.add(undefined, String(id), span(id, { text: "y".repeat(5000) }));
    expect(traces.bytes).toBeLessThanOrEqual(100_000);
    const [newest] = traces.list(undefined);
    expect(newest?.id).toBe("499");
    expect(String(newest?.spans[0]?.attributes["text"])).toHaveLength(256);
    const long = tracesOf(1);
    for (let id = 0; id < 2 * spansPerTraceMax; id++) long.add(undefined, "a", span(id));
    expect(long.spans(undefined, "a")).toHaveLength(spansPerTraceMax);
    long.add(undefined, "b", span(1));
    expect(long.bytes).toBeLessThan(2000);
  });

  test("keeps nothing before it has limits", () => {
    const traces = new RecentTraces();
    traces.add(undefined, "a", span(1));
    expect([idsOf(traces), traces.bytes]).toEqual([[], 0]);
  });
});

describe("the budget", () => {
  const taken = (budget: TraceBudget, kind: "decision" | "request" | "continued", environment?: string): number => {
    let count = 0;
    for (let attempt = 0; attempt < 5000; attempt++) if (budget.take(environment, kind)) count += 1;
    return count;
  };

  test("allows so many traces per second of each kind and environment, and ten times as many of other nodes", () => {
    let nowMs = 0;
    const budget = new TraceBudget(5, () => nowMs);
    expect([taken(budget, "decision"), taken(budget, "request"), taken(budget, "decision", "shop")]).toEqual([5, 5, 5]);
    expect(taken(budget, "continued")).toBe(50);
    expect(budget.take(undefined, "none")).toBe(false);
    nowMs += 200;
    expect([taken(budget, "decision"), taken(budget, "request")]).toEqual([1, 1]);
    nowMs += 60_000;
    expect([taken(budget, "decision"), taken(budget, "request")]).toEqual([5, 5]);
  });

  test("is bounded for all environments together, and for any number of them", () => {
    const budget = new TraceBudget(5, () => 0);
    let count = 0;
    for (let id = 0; id < 3000; id++) count += taken(budget, "decision", `e${id}`);
    expect(count).toBe(500);
  });
});
