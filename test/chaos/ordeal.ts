/**
 * A run of chaos from begin to end: clients write and read while faults strike, then everybody recovers, then it is judged: do all nodes hold the
 * same, is everything there that was acknowledged, was any answer wrong?
 */
import { healthAt } from "../../scripts/node-process.ts";
import { checkHistory, type Violation } from "./check-history.ts";
import type { DiskFigures } from "./disk-probe.ts";
import { faultKinds, Faults, type Fault, type FaultKind } from "./faults.ts";
import type { Read, Versions } from "./history.ts";
import type { Network } from "./network.ts";
import { nodeNames, OrdealCluster, type NodeName } from "./ordeal-cluster.ts";
import { Readers, versionsIn } from "./readers.ts";
import { Writers, type WriterCounts } from "./writers.ts";

export interface OrdealOptions {
  readonly binary: string;
  readonly network: Network;
  /** How long faults strike. */
  readonly seconds: number;
  readonly seed: number;
  /** Those that are drawn from. */
  readonly kinds: readonly FaultKind[];
  readonly writesPerSecond: number;
  /** Progress, for people. */
  readonly tell: (text: string) => void;
}

export interface Outcome {
  readonly ok: boolean;
  readonly network: Network["kind"];
  readonly seed: number;
  readonly seconds: number;
  /** By kind, then by host. */
  readonly faults: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly writes: WriterCounts & { readonly perSecond: number; readonly lost: number };
  readonly reads: ReadFigures;
  /** What nodes did while their disks failed, and which faults of disks this machine does not permit. */
  readonly disks: DiskFigures & { readonly missing: Readonly<Record<string, string>> };
  /** How nodes ended that nobody has killed. */
  readonly exits: readonly string[];
  /** Whether all nodes were at the same position with the same digest at the end. */
  readonly isEqual: boolean;
  /** How long after the last fault that was so. */
  readonly recoveryMs: number;
  /** The first of them. */
  readonly violations: readonly Violation[];
  readonly failures: readonly string[];
}

interface ReadFigures {
  readonly answered: number;
  readonly perSecond: number;
  readonly failed: number;
  readonly wrong: number;
  readonly byNode: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  readonly longestWithoutTokenMs: number;
}

const recoveryMsMax = 60_000;
const shownMax = 20;

export async function undergo(options: OrdealOptions): Promise<Outcome> {
  const { binary, network, tell } = options;
  const cluster = await OrdealCluster.start(binary, network);
  tell(`a primary, two edges, a fallback and two brokers are up, in ${network.kind}`);
  for (const [what, why] of Object.entries(cluster.disks.missing)) tell(`left out: ${what}, since ${why}`);
  try {
    const outcome = await suffer(cluster, options);
    if (!outcome.ok) tell(cluster.lastWords());
    return outcome;
  } catch (error) {
    tell(cluster.lastWords());
    throw error;
  } finally {
    await cluster.stop();
  }
}

async function suffer(cluster: OrdealCluster, options: OrdealOptions): Promise<Outcome> {
  const { seconds, seed, writesPerSecond, tell, network } = options;
  const [primary, edgeA, edgeB, fallback] = nodeNames.map((name) => cluster.urlOf(name)) as [
    string,
    string,
    string,
    string,
  ];
  const key = cluster.adminKey;
  const writers = new Writers({ urls: [primary, edgeA, edgeB], key, seed, writesPerSecond });
  writers.start();
  await Bun.sleep(500); // until there is something to read
  const edges = { "edge-a": edgeA, "edge-b": edgeB };
  const readers = new Readers({ edges, fallback, key, seed, writers });
  readers.start();

  const beginMs = performance.now();
  const disturbance = new Faults({ cluster, clients: { readers, writers }, kinds: options.kinds, seed, tell });
  const faults = await disturbance.run(seconds * 1000);
  const quietMs = performance.now();
  const loadedSeconds = (quietMs - beginMs) / 1000;
  await Promise.all([writers.stop(recoveryMsMax), readers.stop()]);
  const isEqual = await becameEqual(cluster);
  const recoveryMs = performance.now() - quietMs;
  tell(`everybody has recovered; checking ${writers.writes.length} writes and ${readers.reads.length} reads`);

  const ends = await Promise.all(nodeNames.map(async (node) => ({ node, versions: await heldBy(cluster, node) })));
  const violations = checkHistory({ writes: writers.writes, reads: readers.reads, ends });
  const lost = violations.filter(({ fault }) => fault === "lost write").length;
  const wrong = violations.length - lost;
  const reads = figuresOf(readers, loadedSeconds, wrong);
  const { counts } = writers;
  const { exits } = cluster;
  const { disks } = disturbance;
  const isRight = violations.length === 0 && reads.failed === 0 && exits.length === 0 && disks.failures.length === 0;
  return {
    ok: isEqual && isRight && counts.acknowledged > 0 && reads.answered > 0,
    network: network.kind,
    seed,
    seconds,
    faults: tally(faults),
    writes: { ...counts, perSecond: counts.acknowledged / loadedSeconds, lost },
    reads,
    disks: { ...disks, failures: disks.failures.slice(0, shownMax), missing: cluster.disks.missing },
    exits: exits.slice(0, shownMax),
    isEqual,
    recoveryMs,
    violations: violations.slice(0, shownMax),
    failures: readers.failures.slice(0, shownMax),
  };
}

/** Whether all nodes come to the same position with the same digest. What a fallback holds follows on its timer. */
async function becameEqual(cluster: OrdealCluster): Promise<boolean> {
  for (const endMs = performance.now() + recoveryMsMax; performance.now() < endMs; await Bun.sleep(100)) {
    const standings = await Promise.all(
      nodeNames.map(async (name) => {
        const health = await healthAt(cluster.urlOf(name)).catch(() => undefined);
        return health?.digest ? `${health.epoch}:${health.offset}:${health.digest}` : name;
      }),
    );
    if (new Set(standings).size === 1) return true;
  }
  return false;
}

/** All registers of a node, from the node itself. */
async function heldBy(cluster: OrdealCluster, node: NodeName): Promise<Versions> {
  const response = await fetch(`${cluster.urlOf(node)}/api/facts?predicate=has_role`, {
    headers: { Authorization: `Bearer ${cluster.adminKey}` },
  });
  if (!response.ok) throw new Error(`${node} does not tell what it holds: ${response.status} ${await response.text()}`);
  const facts = (await response.json()) as { readonly args: readonly { readonly id: string }[] }[];
  return versionsIn(facts.map(({ args }) => ["has_role", ...args]));
}

function figuresOf({ reads, failures }: Readers, seconds: number, wrong: number): ReadFigures {
  const lasted = ({ startMs, endMs }: Read): number => endMs - startMs;
  const times = Float64Array.from(reads, lasted).sort();
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  const byNode: Record<string, number> = {};
  for (const { node } of reads) byNode[node] = (byNode[node] ?? 0) + 1;
  return {
    answered: reads.length,
    perSecond: reads.length / seconds,
    failed: failures.length,
    wrong,
    byNode,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    longestMs: at(1),
    longestWithoutTokenMs: reads.reduce(
      (most, read) => (read.token === undefined ? Math.max(most, lasted(read)) : most),
      0,
    ),
  };
}

function tally(faults: readonly Fault[]): Record<string, Record<string, number>> {
  return Object.fromEntries(
    faultKinds.map((kind) => {
      const byHost: Record<string, number> = {};
      for (const fault of faults) if (fault.kind === kind) byHost[fault.host] = (byHost[fault.host] ?? 0) + 1;
      return [kind, byHost];
    }),
  );
}
