/** A chaos run passes only if no bound is broken. Each planted fault breaks the row that names it. */
import { describe, expect, test } from "bun:test";
import { checkHistory } from "../harness/check-history.ts";
import { simulatedHistory, type PlantedFault } from "../harness/simulated-history.ts";
import { renderVerdicts } from "../harness/verdicts.ts";
import { noDiskFigures } from "./disk-probe.ts";
import { outcomeOf, type OutcomeOptions } from "./outcome.ts";

function measured(planted?: PlantedFault): OutcomeOptions {
  const history = simulatedHistory(4, planted);
  const acknowledged = history.writes.filter(({ token }) => token !== undefined).length;
  return {
    cluster: { exits: [], disks: { missing: {} } },
    options: { network: { kind: "proxies" }, seed: 1, seconds: 10 },
    faults: [{ kind: "kill", host: "primary" }],
    disks: noDiskFigures(),
    writers: { counts: { acknowledged, refused: 0, unanswered: 0 } },
    readers: { reads: [...history.reads], failures: [] },
    violations: checkHistory(history),
    primaries: undefined,
    loadedSeconds: 10,
    recoveryMs: 100,
    isEqual: true,
  };
}

function brokenRows(options: OutcomeOptions): string[] {
  const { ok, verdicts } = outcomeOf(options);
  const broken = verdicts.filter((row) => row.ok === false);
  expect(ok).toBe(broken.length === 0);
  expect(renderVerdicts(verdicts).includes("BROKEN")).toBe(broken.length > 0);
  return broken.map(({ what }) => what.trim());
}

test("a correct run passes", () => expect(brokenRows(measured())).toEqual([]));

describe("a fault in the observations of clients breaks its row", () => {
  test.each<[PlantedFault, string]>([
    ["dropped write", "lost write"],
    ["write lost in a promotion", "lost write"],
    ["invented answer", "impossible answer"],
    ["reads that do not wait", "stale answer"],
    ["copy set back", "step back"],
    ["offset given twice", "writes out of order"],
    ["two acknowledging primaries", "two acknowledging primaries"],
  ])("%s", (planted, row) => expect(brokenRows(measured(planted))).toContain(row));
});

const availability = { possibleMs: 1e5, waits: 1, medianMs: 0, worstMs: 16_000, worstFromMs: 0, longestWithoutMs: 0 };

describe("an observation of the harness breaks its row", () => {
  const sound = measured();
  test.each<[string, Partial<OutcomeOptions>]>([
    ["failed", { readers: { reads: sound.readers.reads, failures: ["2 s, no answer"] } }],
    ["reads answered", { readers: { reads: [], failures: [] } }],
    ["writes acknowledged", { writers: { counts: { acknowledged: 0, refused: 9, unanswered: 0 } } }],
    ["wrong behaviour", { disks: { ...noDiskFigures(), failures: ["primary answers a write with 500"] } }],
    ["nodes that ended by themselves", { cluster: { ...sound.cluster, exits: ["edge-a: status 1"] } }],
    ["ms until the nodes were equal", { isEqual: false }],
    ["nodes that did not recover", { primaries: { terms: 2, availability: undefined, unrecovered: ["node-a"] } }],
    ["worst, ms", { primaries: { terms: 2, availability, unrecovered: [] } }],
  ])("%s", (row, change) => expect(brokenRows({ ...sound, ...change })).toEqual([row]));
});
