/** What the console decides without a browser about nodes, changes and traces. */
import { describe, expect, test } from "bun:test";
import type { ListedNode, Nodes, TraceSpan } from "../../src/console/ui/api/cluster.ts";
import { changeOf, changesMax, traceIdOf, withNewer } from "../../src/console/ui/changes/change.ts";
import { waterfallRows } from "../../src/console/ui/components/waterfall-rows.ts";
import { formatFact } from "../../src/console/ui/facts/fact-text.ts";
import { isSilent, nodeProblemsOf } from "../../src/console/ui/overview/node-problems.ts";
import { changesTexts } from "../../src/console/ui/texts/changes.ts";
import { nodeTexts } from "../../src/console/ui/texts/nodes.ts";
import { parametersOf, traceFiltersIn } from "../../src/console/ui/traces/trace-filters.ts";

const node: ListedNode = {
  ...{ node: "primary", role: "primary", version: "0.2.0", state: "PRIMARY", ready: true, epoch: "0123456789abcdef" },
  ...{ term: 1, offset: 7, lag_events: 0, age_ms: 0, brokers: [], seen_ms_ago: 0, answered: true },
};
const edge: ListedNode = { ...node, node: "edge-a", role: "edge", state: "LIVE" };

describe("the problems of nodes", () => {
  const nodes = (...listed: ListedNode[]): Nodes => ({ asked: "primary", environment: "e", nodes: listed });
  const words = nodeTexts.problems;

  test("are none while all are well, and while nothing is known", () => {
    expect(nodeProblemsOf(nodes(node, edge))).toEqual([]);
    expect(nodeProblemsOf(undefined)).toEqual([]);
    // A node of an earlier version answers no question, and says little.
    expect(nodeProblemsOf(nodes(node, { ...edge, state: null, ready: null, answered: false }))).toEqual([]);
  });

  test.each([
    [{ ready: false }, "error", words.notReady("edge-a").title],
    [{ state: "DISCONNECTED" }, "error", words.disconnected("edge-a").title],
    [{ state: "DIVERGED" }, "error", words.diverged("edge-a").title],
    [{ degraded: "its storage fails" }, "warning", "its storage fails"],
    [{ lag_events: 2000 }, "warning", "2,000 events"],
    [{ state: "STALE_FEED" }, "warning", words.staleBroker("edge-a").title],
    [{ brokers: [{ broker: "b:1", connected: false }] }, "warning", "b:1"],
    [{ version: "0.1.0" }, "warning", "0.1.0, 0.2.0"],
    [{ answered: false, seen_ms_ago: 120_000, ready: false }, "warning", "2 min ago"],
    [{ answered: false, seen_ms_ago: 2000, state: "GONE" }, "warning", "2 s ago"],
  ] as const)("%j is one: %s, %s", (changed, severity, part) => {
    expect(nodeProblemsOf(nodes(node, { ...edge, ...changed }))).toEqual([
      { severity, title: expect.stringContaining(part), remedy: expect.any(String) },
    ]);
  });

  test("include node keys that differ, but not those of nodes that do not say theirs", () => {
    const problems = (...keys: (readonly string[])[]) =>
      nodeProblemsOf(nodes(node, ...keys.map((each, index) => ({ ...edge, node: `edge-${index}`, node_keys: each }))));
    expect(problems(["3f2a91c0"], ["3f2a91c0"])).toEqual([]);
    const different = [{ severity: "warning" as const, ...words.nodeKeys }];
    expect(problems(["3f2a91c0"], ["77aa01bc", "3f2a91c0"])).toEqual(different);
    expect(problems(["3f2a91c0", "77aa01bc"], ["77aa01bc", "3f2a91c0"])).toEqual(different);
  });

  test("include a missing primary and several ones", () => {
    const titles = (...listed: ListedNode[]) => nodeProblemsOf(nodes(...listed)).map(({ title }) => title);
    expect(titles(edge)).toEqual([words.noPrimary.title]);
    expect(titles({ ...node, answered: false, seen_ms_ago: 90_000, node: "old" }, edge)[0]).toBe(words.noPrimary.title);
    expect(titles(node, { ...node, node: "other" })).toEqual([words.severalPrimaries("primary, other").title]);
    expect(titles(node, { ...node, node: "other", state: "FENCED" })).toEqual([words.fenced("other").title]);
  });

  test("a node that answers is never silent", () => {
    expect(isSilent({ ...edge, seen_ms_ago: 90_000 })).toBe(false);
    expect(isSilent({ ...edge, seen_ms_ago: 90_000, answered: false })).toBe(true);
  });
});

describe("a change", () => {
  const event = { id: "0123456789abcdef:7", offset: "7", time: "2026-11-29T00:00:00.000Z" };
  const fact = (id: string) => ({
    predicate: "has_role",
    args: [
      { type: "User", id },
      { type: "String", id: 'a"b' },
      { type: "Integer", id: "7" },
    ],
  });

  test("says what happened, with a bounded number of lines", () => {
    const facts = { inserted: [fact("a"), fact("b")], deleted: [fact("c"), fact("d")] };
    const change = changeOf({ ...event, type: "ostiary.facts.changed", data: facts }, 3);
    expect(change.title).toBe("2 facts inserted, 2 facts deleted");
    expect(change.lines).toEqual([
      `+ ${formatFact(fact("a"))}`,
      `+ ${formatFact(fact("b"))}`,
      `- ${formatFact(fact("c"))}`,
    ]);
    expect(change.more).toBe(1);
    expect(formatFact(fact("a"))).toBe(String.raw`has_role(User:a, "a\"b", 7)`);
    // A list of many changes must not keep all their facts.
    expect(change.event).toEqual(event);
    const keys = changeOf({ ...event, type: "ostiary.keys.changed", data: { added: [{ id: "a" }, { id: "b" }] } }, 1);
    expect([keys.lines, keys.more]).toEqual([["+ a"], 1]);
  });

  test.each([
    ["ostiary.facts.cleared", {}, changesTexts.cleared, []],
    ["ostiary.policy.loaded", { id: 3, filename: "p.polar" }, "Policy 3 became active: p.polar", []],
    [
      "ostiary.policy.loaded",
      { id: 3, filename: null, author: { id: "k", name: "Ann" }, message: "why" },
      "Policy 3 became active",
      ["by Ann", "why"],
    ],
    [
      "ostiary.keys.changed",
      { added: [{ id: "k", name: "CI", role: "read" }], removed: [{ id: "j" }] },
      changesTexts.keys,
      ['+ k "CI" read', "- j"],
    ],
    ["ostiary.epoch.started", { epoch: "0123456789abcdef", term: 5 }, "A primary began term 5", []],
    ["ostiary.of.tomorrow", { any: 1 }, "ostiary.of.tomorrow", []],
  ])("of the type %s with %j", (type, data, title, lines) => {
    expect(changeOf({ ...event, type, data }, 10)).toMatchObject({ title, lines, more: 0 });
  });

  test("is in the list once, the newest first, and the list is bounded", () => {
    const at = (offset: number) => changeOf({ ...event, offset: String(offset), type: "ostiary.facts.cleared" }, 1);
    const first = withNewer([], [at(1), at(2)]);
    expect(withNewer(first, [at(2), at(3)]).map((change) => change.event.offset)).toEqual(["3", "2", "1"]);
    expect(withNewer(first, [at(2)])).toBe(first);
    const many = Array.from({ length: 500 }, (_, index) => at(index + 3));
    expect(withNewer(first, many)).toHaveLength(changesMax);
    expect(withNewer(first, many)[0]?.event.offset).toBe("502");
  });

  test("has the trace of its write, if that was recorded", () => {
    const id = "0af7651916cd43dd8448eb211c80319c";
    expect(traceIdOf({ ...event, type: "x", traceparent: `00-${id}-b7ad6b7169203331-01` })).toBe(id);
    expect(traceIdOf({ ...event, type: "x" })).toBeUndefined();
    expect(traceIdOf({ ...event, type: "x", traceparent: "rubbish" })).toBeUndefined();
  });
});

describe("a waterfall", () => {
  const span = (id: string, parent: string | null, start: number, duration: number, on = "primary"): TraceSpan => ({
    ...{ node: on, id, parent, name: id, kind: "internal", start_us: start, duration_us: duration, failed: false },
    ...{ start: new Date(start / 1000).toISOString(), attributes: {} },
  });

  test("has each span below its parent, in the order in which they begin, with its share of the time", () => {
    const rows = waterfallRows([
      span("apply", "append", 1600, 300, "edge-a"),
      span("reply", "request", 1900, 100),
      span("request", "caller", 1000, 1000),
      span("append", "request", 1100, 500),
    ]);
    expect(rows.map(({ span: { name }, depth, nodeNumber }) => [name, depth, nodeNumber])).toEqual([
      ["request", 0, 0],
      ["append", 1, 0],
      ["apply", 2, 1],
      ["reply", 1, 0],
    ]);
    expect(rows[1]).toMatchObject({ startMs: 0.1, durationMs: 0.5, from: 0.1, width: 0.5 });
  });

  test("keeps very short spans visible, and spans in a circle", () => {
    const [, short] = waterfallRows([span("a", null, 0, 1_000_000), span("b", "a", 1_000_000, 0)]);
    expect((short?.from ?? 0) + (short?.width ?? 0)).toBeLessThanOrEqual(1);
    expect(short?.width).toBeGreaterThan(0);
    expect(waterfallRows([span("a", "b", 0, 1), span("b", "a", 0, 1)])).toHaveLength(2);
    expect(waterfallRows([])).toEqual([]);
  });
});

test("the conditions of the list of traces come from the address, without those that the node would refuse", () => {
  const filters = traceFiltersIn(new URLSearchParams("min_ms=2.5&route=/api/list"));
  expect(parametersOf(filters)).toEqual({ min_ms: "2.5", route: "/api/list" });
  expect(parametersOf(traceFiltersIn(new URLSearchParams("min_ms=x")))).toEqual({});
});
