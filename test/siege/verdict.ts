/** The verdict about a siege: one row for each bound, with the phases in which it was broken. */
import type { OutputSize } from "../../scripts/node-process.ts";
import { historyRows } from "../harness/check-history.ts";
import { mustBeNone, percentile, verdict, type Verdict } from "../harness/verdicts.ts";
import { nodeNames, type NodeName } from "./attack.ts";
import type { Findings } from "./final-check.ts";
import type { NodeExit } from "./node-watch.ts";
import type { Asked, ReadFailure, ReadSample } from "./reader.ts";

export interface Phase {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Of each node that ran when the phase ended. */
  readonly anonymousBytes: Readonly<Partial<Record<NodeName, number>>>;
}

export interface Measures {
  /** In the order in which they came, without gaps: warm-up, attacks, rest. */
  readonly phases: readonly Phase[];
  readonly samples: readonly ReadSample[];
  readonly failures: readonly ReadFailure[];
  readonly unhealthy: readonly ReadFailure[];
  readonly exits: readonly NodeExit[];
  /** Responses with status 500, seen by attackers and counted by nodes. */
  readonly serverErrors: readonly ServerErrorCount[];
  readonly findings: Findings;
  readonly memory: Readonly<Partial<Record<NodeName, MemoryMeasure>>>;
  readonly output: Readonly<Record<string, OutputSize>>;
  /** Attackers that did not complete their work. */
  readonly brokenAttackers: readonly string[];
  readonly requests: { readonly wanted: number; readonly sent: number };
  /** From the start of the nodes to the end of the measurements. */
  readonly seconds: number;
}

export interface ServerErrorCount {
  readonly phase: string;
  readonly node: string;
  readonly request: string;
  readonly count: number;
}

export interface MemoryMeasure {
  /** After the warm-up. */
  readonly warmBytes: number;
  /** After the load and a rest. Undefined if the node did not run. */
  readonly restedBytes: number | undefined;
}

export const warmUp = "warm-up";
export const rest = "rest";

export const bounds = {
  p99Ms: 100,
  /** If a bare server needs longer than this, the machine is busy, and nodes may also need this much longer. */
  bareP99Ms: 25,
  busyFactor: 4,
  memoryRatio: 1.5,
  outputLines: { first: 300, perSecond: 10 },
  outputBytes: { first: 100_000, perSecond: 4096 },
  outputLineBytes: 16 * 1024,
} as const;

export function judge(measures: Measures): Verdict[] {
  const { findings } = measures;
  return [
    ...nodeNames.map((node) => judgeLatency(measures, node)),
    judgeFailures(measures, "honest reads that failed", measures.failures),
    judgeFailures(measures, "health checks without an answer", measures.unhealthy),
    judgeExits(measures),
    judgeServerErrors(measures),
    ...nodeNames.map((node) => judgeMemory(measures, node)),
    verdict("nodes equal at the end", findings.isEqual ? "yes" : "no", "yes", findings.isEqual, []),
    ...historyRows(findings.violations),
    ...nodeNames.flatMap((node) => judgeKeys(measures, node)),
    ...nodeNames.flatMap((node) => judgeOutput(measures, node)),
    mustBeNone("attackers that failed", measures.brokenAttackers.length, measures.brokenAttackers),
    verdict("random requests sent", measures.requests.sent, `>= ${measures.requests.wanted}`, isSent(measures), []),
  ];
}

const isSent = ({ requests }: Measures): boolean => requests.sent >= requests.wanted;

export function phaseAt(phases: readonly Phase[], atMs: number): string {
  return phases.findLast(({ startMs }) => startMs <= atMs)?.name ?? "before the warm-up";
}

/** Only during load: a rest would improve the result. */
function judgeLatency({ phases, samples }: Measures, node: NodeName): Verdict {
  const loaded = phases.filter(({ name }) => name !== rest && name !== warmUp);
  const timesOf = (asked: Asked, phase: Phase): number[] =>
    samples.filter((one) => one.node === asked && isWithin(phase, one.atMs)).map(({ tookMs }) => tookMs);
  const during = loaded.map((phase) => ({ name: phase.name, times: timesOf(node, phase) }));
  const all = during.flatMap(({ times }) => times);
  const bareP99 = percentile(
    loaded.flatMap((phase) => timesOf("bare", phase)),
    0.99,
  );
  const isBusy = bareP99 >= bounds.bareP99Ms;
  const boundMs = bounds.p99Ms + (isBusy ? bounds.busyFactor * bareP99 : 0);
  const p99 = percentile(all, 0.99);
  const slow = during
    .map(({ name, times }) => ({ name, p99: percentile(times, 0.99), longest: percentile(times, 1) }))
    .filter((phase) => phase.p99 >= boundMs)
    .toSorted((one, other) => other.p99 - one.p99)
    .map((phase) => `${phase.name}: p99 ${phase.p99.toFixed(0)} ms, longest ${phase.longest.toFixed(0)} ms`);
  const ok = all.length > 0 && p99 < boundMs;
  const text = all.length === 0 ? "no answer" : `${p99.toFixed(1)} ms of ${all.length.toLocaleString("en")}`;
  const bare = `a bare server: ${bareP99.toFixed(1)} ms`;
  return verdict(`authorize p99 on the ${node}`, text, `< ${boundMs.toFixed(0)} ms (${bare})`, ok, slow);
}

const isWithin = ({ startMs, endMs }: Phase, atMs: number): boolean => atMs >= startMs && atMs < endMs;

function judgeFailures({ phases }: Measures, what: string, failures: readonly ReadFailure[]): Verdict {
  const ofNodes = failures.filter(({ node }) => node !== "bare");
  const groups = new Map<string, { count: number; readonly example: string }>();
  for (const { node, atMs, reason } of ofNodes) {
    const group = `${phaseAt(phases, atMs)}, ${node}`;
    const known = groups.get(group) ?? { count: 0, example: reason };
    groups.set(group, { ...known, count: known.count + 1 });
  }
  const details = [...groups].map(([group, { count, example }]) => `${group}: ${count}, such as ${example}`);
  return mustBeNone(what, ofNodes.length, details);
}

function judgeExits({ phases, exits }: Measures): Verdict {
  const details = exits.map(({ node, atMs, ending, lastLines }) => {
    return `${phaseAt(phases, atMs)}: the ${node} ended with ${ending}: ${errorLine(lastLines).slice(0, 200)}`;
  });
  return mustBeNone("exits of nodes", exits.length, details);
}

/** The last line about an error, before its stack trace. */
function errorLine(output: string): string {
  const lines = output.trimEnd().split("\n");
  return lines.findLast((line) => /error|failed|\bE[A-Z]{3,}\b/i.test(line)) ?? lines.at(-1) ?? "";
}

function judgeServerErrors({ serverErrors }: Measures): Verdict {
  const sum = serverErrors.reduce((total, { count }) => total + count, 0);
  const details = serverErrors.map(({ phase, node, request, count }) => `${phase}, ${node}: ${count} to ${request}`);
  return mustBeNone("answers with status 500", sum, details);
}

function judgeMemory({ memory, phases }: Measures, node: NodeName): Verdict {
  const { warmBytes = 0, restedBytes } = memory[node] ?? {};
  const ratio = (restedBytes ?? Infinity) / warmBytes;
  const ok = ratio <= bounds.memoryRatio;
  const megabytes = (count: number | undefined): string =>
    count === undefined ? "nothing" : `${Math.round(count / 1e6)} MB`;
  const measured = `${ratio.toFixed(2)} (${megabytes(restedBytes)} / ${megabytes(warmBytes)})`;
  const growth = phases
    .map(({ name, anonymousBytes }, index) => {
      const before = phases[index - 1]?.anonymousBytes[node] ?? 0;
      return { name, grownBytes: index === 0 ? 0 : (anonymousBytes[node] ?? 0) - before };
    })
    .filter(({ grownBytes }) => grownBytes > 0.1 * warmBytes)
    .toSorted((one, other) => other.grownBytes - one.grownBytes)
    .map(({ name, grownBytes }) => `${name}: grew by ${megabytes(grownBytes)}`);
  return verdict(`memory of the ${node} after the rest`, measured, `<= ${bounds.memoryRatio} of warm-up`, ok, growth);
}

function judgeKeys({ findings }: Measures, node: NodeName): Verdict[] {
  const { lostKeys = ["it was not asked"], acceptedRevoked = [] } = findings.keys[node] ?? {};
  const keys = acceptedRevoked.map((id) => `key ${id}`);
  return [
    mustBeNone(`acknowledged keys missing on the ${node}`, lostKeys.length, lostKeys),
    mustBeNone(`revoked keys accepted by the ${node}`, keys.length, keys),
  ];
}

function judgeOutput({ output, seconds }: Measures, node: NodeName): Verdict[] {
  const { lines, bytes, longestLineBytes } = output[node] ?? { lines: 0, bytes: 0, longestLineBytes: 0 };
  const within = ({ first, perSecond }: { readonly first: number; readonly perSecond: number }): number =>
    Math.round(first + perSecond * seconds);
  const row = (what: string, value: number, max: number): Verdict =>
    verdict(`${what} of the ${node}`, value, `<= ${max.toLocaleString("en")}`, value <= max, []);
  return [
    row("log lines", lines, within(bounds.outputLines)),
    row("log bytes", bytes, within(bounds.outputBytes)),
    row("longest log line, in bytes,", longestLineBytes, bounds.outputLineBytes),
  ];
}
