/**
 * The verdict of a siege detects each broken bound, and its random requests do not harm honest clients. `test/e2e` has
 * a short siege.
 */
import { describe, expect, test } from "bun:test";
import { random } from "../../scripts/benchmark/random.ts";
import { renderVerdicts } from "../harness/verdicts.ts";
import { nodeNames } from "../siege/attack.ts";
import { clears, randomRequest } from "../siege/random-requests.ts";
import { judge, phaseAt, rest, warmUp, type Measures, type Phase } from "../siege/verdict.ts";

const megabyte = 1e6;
const anonymousBytes = { primary: 100 * megabyte, edge: 100 * megabyte, fallback: 100 * megabyte };
const phases: readonly Phase[] = [
  { name: warmUp, startMs: 0, endMs: 1000, anonymousBytes },
  { name: "flood", startMs: 1000, endMs: 2000, anonymousBytes: { ...anonymousBytes, edge: 300 * megabyte } },
  { name: rest, startMs: 2000, endMs: 3000, anonymousBytes },
];
const samples = [...nodeNames, "bare" as const].flatMap((node) =>
  Array.from({ length: 200 }, (_, index) => ({ node, atMs: 1000 + index * 5, tookMs: 2 })),
);
const memory = { warmBytes: 100 * megabyte, restedBytes: 120 * megabyte };
const quiet = { bytes: 1000, lines: 10, longestLineBytes: 100 };
const keys = Object.fromEntries(nodeNames.map((name) => [name, { lostKeys: [], acceptedRevoked: [] }]));
const sound: Measures = {
  phases,
  samples,
  failures: [],
  unhealthy: [],
  exits: [],
  serverErrors: [],
  brokenAttackers: [],
  findings: { isEqual: true, violations: [], keys },
  memory: { primary: memory, edge: memory, fallback: memory },
  output: { primary: quiet, edge: quiet, fallback: quiet },
  requests: { wanted: 100, sent: 100 },
  seconds: 3,
};
const broken = (measures: Measures) => judge(measures).filter(({ ok }) => ok === false);

describe("the verdict of a siege", () => {
  test("is positive for a sound run", () => {
    expect(broken(sound)).toEqual([]);
    expect(renderVerdicts(judge(sound))).not.toContain("BROKEN");
  });

  test("names the phase of a time, and of a time before all phases", () => {
    expect([phaseAt(phases, 1500), phaseAt(phases, 2500), phaseAt(phases, -1)]).toEqual([
      "flood",
      rest,
      "before the warm-up",
    ]);
  });

  const failure = { node: "edge" as const, atMs: 1500, reason: "no answer" };
  const exit = { node: "primary" as const, atMs: 1600, ending: "status 1", lastLines: "EMFILE" };
  test.each<[string, Partial<Measures>, string]>([
    ["slow answers", { samples: samples.map((one) => ({ ...one, tookMs: one.node === "edge" ? 150 : 2 })) }, "p99 150"],
    ["failed reads", { failures: [failure] }, "no answer"],
    ["unanswered health checks", { unhealthy: [failure] }, "no answer"],
    ["an exit", { exits: [exit] }, "EMFILE"],
    ["a server error", { serverErrors: [{ phase: "flood", node: "edge", request: "GET /", count: 3 }] }, "GET /"],
    ["unreleased memory", { memory: { ...sound.memory, edge: { ...memory, restedBytes: 160 * megabyte } } }, "200 MB"],
    [
      "a lost write",
      { findings: { ...sound.findings, violations: [{ fault: "lost write", message: "flood" }] } },
      "flood",
    ],
    [
      "a lost key",
      { findings: { ...sound.findings, keys: { ...keys, edge: { lostKeys: ["flood"], acceptedRevoked: [] } } } },
      "flood",
    ],
    [
      "an accepted key",
      { findings: { ...sound.findings, keys: { ...keys, edge: { lostKeys: [], acceptedRevoked: ["flood"] } } } },
      "key",
    ],
    [
      "a node that was not asked",
      { findings: { ...sound.findings, keys: { ...keys, edge: undefined as never } } },
      "not asked",
    ],
    ["an attacker that failed", { brokenAttackers: ["flood"] }, "flood"],
  ])("detects %s, with the phase", (_, change, detail) => {
    const rows = broken({ ...sound, ...change });
    expect(rows.length).toBe(1);
    expect(renderVerdicts(rows)).toContain("BROKEN");
    expect(rows[0]?.details.join("\n")).toContain(detail);
  });

  test("detects a log that grows without bound, and requests that were not sent", () => {
    const loud = { bytes: 1e7, lines: 10_000, longestLineBytes: 100_000 };
    expect(broken({ ...sound, output: { ...sound.output, edge: loud } }).length).toBe(3);
    expect(broken({ ...sound, requests: { wanted: 100, sent: 99 } }).length).toBe(1);
    expect(broken({ ...sound, findings: { ...sound.findings, isEqual: false } }).length).toBe(1);
  });

  test("tolerates a busy machine, but not a slow node", () => {
    const slow = (bareMs: number) =>
      broken({ ...sound, samples: samples.map((one) => ({ ...one, tookMs: one.node === "bare" ? bareMs : 150 })) });
    expect(slow(2).length).toBe(nodeNames.length);
    expect(slow(40)).toEqual([]);
  });
});

describe("random requests of a siege", () => {
  const keys = { read: "read-key", write: "write-key" };
  const drawn = (seed: number) => {
    const next = random(seed);
    return Array.from({ length: 20_000 }, () => randomRequest(next, keys));
  };

  test("are the same for the same seed", () => {
    expect(drawn(3)).toEqual(drawn(3));
    expect(drawn(3)).not.toEqual(drawn(4));
  });

  test("are anonymous, with a read key and with a write key", () => {
    const sentWith = drawn(3).map((one) => (one.kind === "request" ? one.key : "bytes"));
    for (const kind of [undefined, "x", "bytes", ...Object.values(keys)])
      expect(sentWith.filter((key) => key === kind).length).toBeGreaterThan(1000);
  });

  test("delete only facts that they have written themselves", () => {
    for (const one of drawn(3)) {
      if (one.kind === "bytes" || one.key !== keys.write) continue;
      expect(clears(one.path)).toBe(false);
      if (one.body?.includes("deletes") !== true) continue;
      const [{ deletes }] = JSON.parse(one.body) as [{ deletes: { args: { id: string }[] }[] }];
      for (const { args } of deletes) expect(args[0]?.id).toMatch(/^noise-\d+$/);
    }
  });
});
