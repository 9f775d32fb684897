/** The checker accepts the answers of a correct cluster, and detects each planted fault. */
import { describe, expect, test } from "bun:test";
import { seedsOf } from "../seeds.ts";
import { checkHistory, type HistoryFault } from "./check-history.ts";
import type { Answer, Epoch, History, Read, Write } from "./history.ts";
import { simulatedHistory, type PlantedFault } from "./simulated-history.ts";

const runs = 5;
const seeds = seedsOf(1).flatMap((first) => Array.from({ length: runs }, (_, index) => first + index));
const faultsOf = (history: History): Set<HistoryFault> => new Set(checkHistory(history).map(({ fault }) => fault));

describe(`a simulated cluster with the seeds from ${seedsOf(1).join(" and ")} on`, () => {
  test("is accepted if it is correct, for every seed", () => {
    for (const seed of seeds) {
      const history = simulatedHistory(seed);
      expect(history.writes.length).toBeGreaterThan(800);
      expect(history.reads.length).toBeGreaterThan(800);
      expect(history.writes.some(({ sends }) => sends > 1)).toBe(true);
      expect(history.epochs.length).toBeGreaterThan(3);
      expect({ seed, violations: checkHistory(history) }).toEqual({ seed, violations: [] });
    }
  });

  const planted: readonly (readonly [PlantedFault, readonly HistoryFault[]])[] = [
    ["skipped event", ["impossible answer"]],
    ["doubled event", ["impossible answer"]],
    ["late event", ["impossible answer", "stale answer"]],
    ["reads that do not wait", ["stale answer"]],
    ["dropped write", ["lost write"]],
    ["half a write", ["impossible answer"]],
    ["copy set back", ["step back", "stale answer"]],
    ["invented answer", ["impossible answer"]],
    ["offset given twice", ["writes out of order"]],
    ["write lost in a promotion", ["lost write"]],
    ["two acknowledging primaries", ["two acknowledging primaries"]],
  ];

  test.each(planted)("with a %s is rejected, for every seed", (fault, signs) => {
    for (const seed of seeds) {
      const found = faultsOf(simulatedHistory(seed, fault));
      expect({ seed, found: signs.some((sign) => found.has(sign)) }).toEqual({ seed, found: true });
    }
  });
});

describe("by hand", () => {
  const writes = [write(1, 10, 20, 5), write(2, 30, 40, 7), write(3, 50, 60, 9)];
  const has = (version: number, is: boolean): Answer => ({ kind: "has", register: "r", version, has: is });
  const holds = (...versions: number[]): Answer => ({ kind: "register", register: "r", versions });

  test.each<[string, Answer, Partial<Read>, HistoryFault | undefined]>([
    ["the newest", holds(3), {}, undefined],
    ["an old one without a token", holds(1), {}, undefined],
    ["nothing at all without a token", holds(), {}, undefined],
    ["an old one with a token from before the next", holds(2), token(8), undefined],
    ["an old one with a token of the next", holds(2), token(9), "stale answer"],
    ["nothing with a token", holds(), token(5), "stale answer"],
    ["an old one from a node that may be old", holds(1), { ...token(9), mayBeOld: true }, undefined],
    ["two at once", holds(2, 3), {}, "impossible answer"],
    ["two at once from a node that may be old", holds(2, 3), { mayBeOld: true }, "impossible answer"],
    ["one that was never written", holds(4), {}, "impossible answer"],
    ["one before it was written", holds(3), { startMs: 41, endMs: 49 }, "answer from the future"],
    ["one that is being written", holds(3), { startMs: 41, endMs: 51 }, undefined],
    ["yes to an old one with a token of the next", has(2, true), token(9), "stale answer"],
    ["yes to one before it was written", has(3, true), { startMs: 41, endMs: 49 }, "answer from the future"],
    ["no to the newest with its token", has(3, false), token(9), "stale answer"],
    ["no to the newest without a token", has(3, false), {}, undefined],
    ["no to one while the next is being written", has(2, false), { ...token(7), endMs: 51 }, undefined],
    ["no to one before the next is written", has(2, false), { ...token(7), startMs: 41, endMs: 49 }, "stale answer"],
  ])("%s", (_, answer, given, fault) => {
    expect(faultsOf(seen({ writes, reads: [read(answer, given)] }))).toEqual(
      new Set(fault === undefined ? [] : [fault]),
    );
  });

  test("a node that goes back, although another one answered in between", () => {
    const reads = [
      read(holds(3), { startMs: 70, endMs: 71 }),
      read(holds(1), { startMs: 72, endMs: 73, node: "other" }),
      read(holds(2), { startMs: 74, endMs: 75 }),
    ];
    expect(checkHistory(seen({ writes, reads })).map(({ fault }) => fault)).toEqual(["step back"]);
    const overlapping = reads.map((one) => ({ ...one, startMs: 69 }));
    expect(checkHistory(seen({ writes, reads: overlapping }))).toEqual([]);
  });

  test("parts of one answer that were never true together", () => {
    const others = [write(1, 10, 20, 6, "s"), write(2, 30, 40, 8, "s")];
    const group = (r: number, s: number): Read =>
      read(
        {
          kind: "group",
          group: "g",
          versions: new Map([
            ["r", [r]],
            ["s", [s]],
          ]),
        },
        {},
      );
    const faultOf = (r: number, s: number) => faultsOf(seen({ writes: [...writes, ...others], reads: [group(r, s)] }));
    for (const [r, s] of [
      [1, 1],
      [2, 1],
      [2, 2],
      [3, 2],
    ] as const)
      expect(faultOf(r, s)).toEqual(new Set());
    for (const [r, s] of [
      [1, 2],
      [3, 1],
    ] as const)
      expect(faultOf(r, s)).toEqual(new Set(["impossible answer"]));
  });

  test("a write that was sent twice may be anywhere between its begin and its answer; one without an answer anywhere", () => {
    const twice = { ...write(3, 50, 60, 12), sends: 2 };
    const faultOf = (last: Write, offset: number) =>
      faultsOf(seen({ writes: [...writes.slice(0, 2), last], reads: [read(holds(2), token(offset))] }));
    expect(faultOf(twice, 11)).toEqual(new Set());
    expect(faultOf(twice, 12)).toEqual(new Set(["stale answer"]));
    expect(faultOf({ ...twice, token: undefined, endMs: Infinity }, 100)).toEqual(new Set());
  });

  test("the end", () => {
    const unanswered: Write = { ...write(4, 70, 0, 0), endMs: Infinity, token: undefined };
    const faultOf = (...nodes: number[][]) =>
      faultsOf(
        seen({
          writes: [...writes, unanswered],
          ends: nodes.map((versions, index) => ({ node: `node-${index}`, versions: new Map([["r", versions]]) })),
        }),
      );
    expect(faultOf([3], [3])).toEqual(new Set());
    expect(faultOf([4])).toEqual(new Set());
    expect(faultOf([2])).toEqual(new Set(["lost write"]));
    expect(faultOf([])).toEqual(new Set(["lost write"]));
    expect(faultOf([3, 4])).toEqual(new Set(["impossible state"]));
    expect(faultOf([5])).toEqual(new Set(["impossible state"]));
    expect(faultOf([3], [4])).toEqual(new Set(["impossible state"]));
  });

  test("an offset that contradicts the times", () => {
    const wrong = [write(1, 10, 20, 5), write(1, 30, 40, 4, "s")];
    expect(faultsOf(seen({ writes: wrong }))).toEqual(new Set(["writes out of order"]));
    const atOnce = [write(1, 10, 20, 5), write(1, 15, 40, 4, "s")];
    expect(faultsOf(seen({ writes: atOnce }))).toEqual(new Set());
  });
});

describe("several primaries", () => {
  const epochs: readonly Epoch[] = [
    { epoch: "a", term: 1, offset: 0 },
    { epoch: "b", term: 2, offset: 7 },
  ];
  const first = [write(1, 10, 20, 5), write(2, 30, 40, 7)];
  const inB = (one: Write): Write => ({ ...one, token: one.token && { ...one.token, epoch: "b" } });
  const ends = [{ node: "edge", versions: new Map([["r", [3]]]) }];

  test("that write one after the other", () => {
    expect(faultsOf(seen({ writes: [...first, inB(write(3, 50, 60, 9))], epochs, ends }))).toEqual(new Set());
  });

  test("and writes of the first one beyond the beginning of the second are lost", () => {
    const writes = [...first, write(3, 50, 60, 8)];
    const violations = checkHistory(seen({ writes, epochs, ends }));
    expect(violations.map(({ fault }) => fault)).toEqual(["lost write"]);
    expect(violations[0]?.message).toContain("a from 0 on, b from 7 on");
  });

  test("and writes of an epoch that is not part of the history are lost", () => {
    const writes = [...first, { ...write(3, 50, 60, 6), token: { epoch: "c", offset: 6 } }];
    expect(faultsOf(seen({ writes, epochs, ends }))).toEqual(new Set(["lost write"]));
  });

  test("and a token of a lost write says nothing about an answer", () => {
    const reads = [read({ kind: "register", register: "r", versions: [1] }, { token: { epoch: "a", offset: 100 } })];
    expect(faultsOf(seen({ writes: first.slice(0, 1), reads, epochs }))).toEqual(new Set());
  });

  test.each<[string, Partial<Write>, boolean]>([
    ["sent before the second acknowledged anything", { sentMs: 59 }, false],
    ["sent after the second acknowledged something", { sentMs: 61 }, true],
    ["begun before, but sent after that", { startMs: 50, sentMs: 61 }, true],
    ["done by an attempt before", { sentMs: 61, sends: 2 }, false],
  ])("and the first one acknowledges a write that was %s", (_, given, isFound) => {
    const late = { ...write(1, 50, 70, 6, "s"), ...given };
    const writes = [...first, inB(write(1, 50, 60, 9, "t")), late];
    const found = faultsOf(seen({ writes, epochs }));
    expect(found.has("two acknowledging primaries")).toBe(isFound);
    expect(found.has("lost write")).toBe(false);
  });
});

function seen(given: Partial<History>): History {
  const epochs = given.epochs ?? [{ epoch: "a", term: 1, offset: 0 }];
  const terms = new Map(epochs.map(({ epoch, term }) => [epoch, term]));
  return { writes: [], reads: [], ends: [], epochs, terms, ...given };
}

function write(version: number, startMs: number, endMs: number, offset: number, register = "r"): Write {
  return { register, group: "g", version, startMs, sentMs: startMs, endMs, sends: 1, token: { epoch: "a", offset } };
}

function read(answer: Answer, given: Partial<Read>): Read {
  return { startMs: 100, endMs: 101, node: "edge", mayBeOld: false, token: undefined, answer, ...given };
}

function token(offset: number): Partial<Read> {
  return { token: { epoch: "a", offset } };
}
