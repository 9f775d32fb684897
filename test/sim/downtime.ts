/**
 * Measures how long a cluster accepts no writes after a planned change, such as a killed primary or a handover. Each
 * change happens alone, in a quiescent cluster and in simulated time, and only the seed decides when, on which node and
 * with which configuration. So two versions of the program can be compared, although their nodes send other requests.
 */
import { startLogging } from "../../src/telemetry/logger.ts";
import { must } from "../../src/util/assert.ts";
import { Cluster, skewsMs } from "./cluster.ts";
import type { Machine } from "./machines.ts";
import { noMutation } from "./mutations.ts";
import { Operator, primariesOf } from "./operator.ts";
import { unrest } from "./quiescence.ts";
import { boot } from "./run.ts";
import { cutBothWays, partition, type Scene } from "./scene.ts";
import { actor } from "./time.ts";

/** Longer than any outage. */
const faultMs = 60_000;
/** After a primary was killed: until an operator promotes an edge, or until it starts again. */
const reactionMs = 1000;
/** The lease is free in the middle of this time. */
const clocksSetMs = 8000;

export interface PlannedChange {
  readonly name: string;
  /** Whether the nodes elect the primary themselves, with a lease. */
  readonly failover: boolean;
  /** How long no write may be accepted, given the duration of the lease: 2 s more than the worst of 100 seeds. */
  readonly msMax: (leaseMs: number) => number;
  readonly begin: (scene: Scene, primary: Machine) => Promise<void> | void;
}

export const plannedChanges: readonly PlannedChange[] = [
  {
    name: "the primary is killed",
    failover: true,
    msMax: (leaseMs) => leaseMs + 4500,
    begin: (_, primary) => primary.kill(),
  },
  {
    name: "the primary is killed and starts again",
    failover: true,
    msMax: (leaseMs) => leaseMs + 4500,
    async begin({ cluster }, primary) {
      primary.kill();
      await cluster.time.sleep(reactionMs);
      void cluster.start(primary, "primary");
    },
  },
  {
    name: "the primary is killed, and clocks are set",
    failover: true,
    msMax: (leaseMs) => leaseMs + 4500,
    begin({ cluster, random }, primary) {
      primary.kill();
      for (const member of cluster.members)
        cluster.time.at(random.between(0, clocksSetMs), undefined, () => (member.skewMs = random.pick(skewsMs)));
    },
  },
  {
    name: "the primary loses its power",
    failover: true,
    msMax: (leaseMs) => leaseMs + 4500,
    begin: (_, primary) => primary.cutPower(),
  },
  {
    name: "the primary is frozen",
    failover: true,
    msMax: (leaseMs) => leaseMs + 7500,
    begin: (_, primary) => primary.freeze(faultMs),
  },
  {
    name: "the primary is partitioned",
    failover: true,
    msMax: (leaseMs) => leaseMs + 7500,
    begin: (scene, primary) => void partition(scene, [primary], faultMs, faultMs),
  },
  {
    name: "the primary loses the coordination service",
    failover: true,
    msMax: () => 3000,
    begin: ({ cluster }, primary) => void cutBothWays(cluster, primary.name, cluster.engine.host),
  },
  { name: "the primary stops", failover: true, msMax: () => 3500, begin: (_, primary) => primary.stop() },
  { name: "the primary is restarted", failover: true, msMax: () => 2500, begin: restart },
  { name: "the primary hands over", failover: true, msMax: () => 2500, begin: handOver },
  {
    name: "an operator promotes an edge over a killed primary",
    failover: false,
    msMax: () => reactionMs + 3000,
    async begin({ cluster, operator, random }, primary) {
      const edge = random.pick(await operator.candidates());
      primary.kill();
      await cluster.time.sleep(reactionMs);
      await operator.promote(edge, false);
    },
  },
  { name: "an operator restarts the primary", failover: false, msMax: () => 4000, begin: restart },
  { name: "an operator lets the primary hand over", failover: false, msMax: () => 4000, begin: handOver },
];

async function restart({ cluster }: Scene, primary: Machine): Promise<void> {
  await primary.stop();
  await cluster.start(primary, "primary");
}

async function handOver({ operator, random }: Scene): Promise<void> {
  await operator.handOver(random.pick(await operator.candidates()));
}

export interface Downtime {
  readonly change: string;
  readonly seed: number;
  readonly leaseMs: number;
  /** The longest time without an acknowledged write. */
  readonly ms: number;
}

const probeEveryMs = 50;
/** After the change the cluster must accept writes for so long. */
const stableMs = 2000;
const outageMsMax = 120_000;
/** The change happens at any time between two periodic actions of the nodes. */
const phaseMsMax = 2000;
const quietMsMax = 20_000;
const traceLines = 60;

export async function measureDowntime(change: PlannedChange, seed: number): Promise<Downtime> {
  const cluster = new Cluster(seed, { ...noMutation, failover: change.failover });
  const scene: Scene = {
    cluster,
    operator: new Operator(cluster),
    random: cluster.random.fork(`downtime: ${change.name}`),
    undo: new Set(),
    isPeace: false,
  };
  startLogging({ level: "info", format: "text" }, (line) =>
    cluster.note(`  ${actor.getStore()?.name ?? "-"}: ${line.slice(25).trimEnd()}`),
  );
  try {
    await boot(cluster);
    const ms = await driven(cluster, outageOf(scene, change));
    if (cluster.violation !== undefined) throw cluster.violation;
    return { change: change.name, seed, leaseMs: cluster.shape.leaseMs, ms };
  } catch (cause) {
    const trace = cluster.trace.slice(-traceLines).join("\n");
    throw new Error(`the downtime cannot be measured (${change.name}, seed ${seed}):\n${trace}`, { cause });
  } finally {
    cluster.close();
  }
}

/** Lets simulated time pass until the work is done. */
async function driven<T>({ time }: Cluster, work: Promise<T>): Promise<T> {
  let isDone = false;
  const end = (): void => void (isDone = true);
  void work.then(end, end);
  if (!(await time.pass(2 * outageMsMax, () => isDone))) throw new Error("the change does not come to an end");
  return work;
}

async function outageOf(scene: Scene, { begin }: PlannedChange): Promise<number> {
  const { cluster, random } = scene;
  const { time } = cluster;
  const primary = await quietPrimary(cluster);
  const others = cluster.members.filter((member) => member !== primary).map(({ name }) => name);
  await time.sleep(random.between(0, phaseMsMax));
  cluster.note("--- now");
  const beginMs = time.nowMs;
  let [lastMs, longestMs, isBegun] = [beginMs, 0, false];
  let stableFromMs = Number.POSITIVE_INFINITY;
  const probe = async (count: number): Promise<void> => {
    if (!(await isWritten(cluster, must(others[count % others.length]), count))) return;
    longestMs = Math.max(longestMs, time.nowMs - lastMs);
    lastMs = time.nowMs;
    if (isBegun) stableFromMs = Math.min(stableFromMs, time.nowMs);
  };
  const begun = (async () => begin(scene, primary))().finally(() => (isBegun = true));
  for (let count = 0; time.nowMs < stableFromMs + stableMs && time.nowMs < beginMs + outageMsMax; count++) {
    void probe(count);
    await time.sleep(probeEveryMs);
  }
  await begun;
  return Math.max(longestMs, time.nowMs - lastMs);
}

/** The primary, when all nodes have reached the same state. */
async function quietPrimary(cluster: Cluster): Promise<Machine> {
  const { time } = cluster;
  let problem: string | undefined;
  for (const endMs = time.nowMs + quietMsMax; time.nowMs < endMs;) {
    await time.sleep(1000);
    problem = await unrest(cluster);
    if (problem === undefined) return must((await primariesOf(cluster))[0]);
  }
  throw new Error(`the cluster does not become quiescent: ${problem}`);
}

async function isWritten({ clients }: Cluster, host: string, count: number): Promise<boolean> {
  const args = [
    { type: "User", id: `probe-${count}` },
    { type: "String", id: "reader" },
    { type: "Repo", id: "main" },
  ];
  const answer = await clients.call(host, "POST", "/api/batch", [{ inserts: [{ predicate: "has_role", args }] }]);
  return answer?.status === 200;
}
