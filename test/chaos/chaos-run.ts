/**
 * A chaos run from beginning to end: clients write and read while faults are injected, then all nodes recover, and then
 * the result is checked. Do all nodes have the same state, is every acknowledged write there, was any answer wrong?
 */
import { checkHistory } from "../harness/check-history.ts";
import { frontOf, readableOf, type ClusterPlan } from "./cluster-plan.ts";
import { openFaultInjection, type AnyKind } from "./fault-injection.ts";
import { waitUntilEqual, readFinalState } from "../harness/final-state.ts";
import type { Network } from "./network.ts";
import { ChaosCluster } from "./chaos-cluster.ts";
import { outcomeOf, type Outcome } from "./outcome.ts";
import { Readers } from "./readers.ts";
import { Writers } from "../harness/writers.ts";

export interface ChaosRunOptions {
  readonly binary: string;
  readonly network: Network;
  readonly plan: ClusterPlan;
  /** How long faults are injected. */
  readonly seconds: number;
  readonly seed: number;
  /** The kinds of faults to draw from. */
  readonly kinds: readonly AnyKind[];
  readonly writesPerSecond: number;
  /** Prints progress for people. */
  readonly tell: (text: string) => void;
}

const recoveryMsMax = 60_000;

export async function runChaos(options: ChaosRunOptions): Promise<Outcome> {
  const { binary, network, plan, tell } = options;
  const cluster = await ChaosCluster.start(binary, network, plan);
  tell(`${cluster.hosts.join(", ")} are up, in ${network.kind}`);
  if (plan.members !== undefined && cluster.clocks.missing !== undefined)
    tell(`left out: wrong clocks, since ${cluster.clocks.missing}`);
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

async function suffer(cluster: ChaosCluster, options: ChaosRunOptions): Promise<Outcome> {
  const { plan, seconds, seed, writesPerSecond, tell } = options;
  const key = cluster.adminKey;
  const urls = frontOf(plan).map((name) => cluster.urlOf(name));
  const writers = new Writers({ urls, key, seed, writesPerSecond });
  writers.start();
  const edges = Object.fromEntries(readableOf(plan).map((name) => [name, cluster.urlOf(name)]));
  const fallback = cluster.urlOf("fallback");
  const nameNow = (node: string): string => disturbance.nameNow(node);
  const readers = new Readers({ edges, fallback, key, seed, writers, nameNow });
  const disturbance = openFaultInjection(cluster, options, { readers, writers });
  readers.start();

  const beginMs = performance.now();
  const faults = await disturbance.run(seconds * 1000);
  const quietMs = performance.now();
  const loadedSeconds = (quietMs - beginMs) / 1000;
  await Promise.all([writers.stop(recoveryMsMax), readers.stop()]);
  const { probes, terms, figures } = await disturbance.stop(writers);
  const nodes = Object.fromEntries(cluster.names.map((name) => [name, cluster.urlOf(name)]));
  const isEqual = await waitUntilEqual(nodes, recoveryMsMax);
  const recoveryMs = performance.now() - quietMs;
  tell(`all nodes have recovered; checking ${writers.writes.length} writes and ${readers.reads.length} reads`);

  const ends = await readFinalState(nodes, frontOf(plan)[0] ?? "", cluster);
  const known = new Map([...terms, ...ends.epochs.map(({ epoch, term }) => [epoch, term] as const)]);
  const writes = [...writers.writes, ...probes];
  const violations = checkHistory({ writes, reads: readers.reads, ...ends, terms: known });
  const primaries = figures === undefined ? undefined : { terms: ends.epochs.length, ...figures };
  const judged = { cluster, options, faults, disks: disturbance.disks, writers, readers, violations, primaries };
  return outcomeOf({ ...judged, loadedSeconds, recoveryMs, isEqual });
}
export type { Outcome };
