/** The run of one seed: a cluster starts, works under faults for a while, recovers without faults, and is checked. */
import { startLogging } from "../../src/telemetry/logger.ts";
import { must } from "../../src/util/assert.ts";
import { reasonOf } from "../../src/util/reason.ts";
import { Cluster, retentionEvents } from "./cluster.ts";
import { faults } from "./faults.ts";
import { backFrom, isWithin, Violation, type Point } from "./histories.ts";
import { positionOf } from "./checker.ts";
import { Operator, primariesOf, type Unreplicated } from "./operator.ts";
import { noMutation, type Mutation } from "./mutations.ts";
import { unrest } from "./quiescence.ts";
import { actor } from "./time.ts";
import { type Fault, fits, type Scene } from "./scene.ts";

export interface Outcome {
  readonly seed: number;
  /** The number of faults by name. */
  readonly faults: Readonly<Record<string, number>>;
  /** See `counts.ts`. */
  readonly counts: Readonly<Record<string, number>>;
  readonly failure: Error | undefined;
  readonly trace: readonly string[];
}

/** The trace without its random parts: names of directories and requests, sizes, real time. */
export function comparableTrace({ trace }: Outcome): readonly string[] {
  return trace.map((line) =>
    line
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "#")
      .replaceAll(/ostiary-sim-\w+/g, "#")
      .replace(/\d+ bytes in \d+ ms/, "#")
      .replace(/unpacked in \d+ ms and checked in \d+ ms/, "#"),
  );
}

const stepsMax = 80;
const bootMs = 10_000;
const restMs = 120_000;

export async function runSeed(seed: number, mutation: Mutation = noMutation): Promise<Outcome> {
  const cluster = new Cluster(seed, mutation);
  const operator = new Operator(cluster);
  const scene: Scene = { cluster, operator, random: cluster.random.fork("faults"), undo: new Set(), isPeace: false };
  const struck: Record<string, number> = {};
  startLogging({ level: "info", format: "text" }, (line) => {
    const text = line.slice(25).trimEnd();
    const name = actor.getStore()?.name;
    cluster.note(`  ${name ?? "-"}: ${text}`);
    cluster.machines.find((machine) => machine.name === name)?.checkLogLine(text);
  });
  let [steps, lost] = [0, 0];
  let failure: Error | undefined;
  try {
    await boot(cluster);
    for (; steps < stepsMax && cluster.violation === undefined; steps++) await step(scene, struck);
    if (cluster.violation === undefined) await rest(scene);
    if (cluster.violation === undefined) lost = requireKept(cluster, operator);
    if (cluster.violation === undefined) await succeed(scene);
  } catch (error) {
    failure = error instanceof Error ? error : new Error(reasonOf(error));
  }
  failure ??= cluster.violation;
  cluster.close();
  const { counts } = cluster;
  counts.add("steps", steps);
  counts.add("simulated seconds", Math.round(cluster.time.nowMs / 1000));
  counts.add("committed states", cluster.histories.size);
  counts.add("acknowledged writes lost as announced", lost);
  counts.add("of these found after a crash", cluster.histories.revived);
  counts.add("primaries chosen by a lease", cluster.chosen.size);
  return { seed, faults: struck, counts: counts.byName, failure, trace: cluster.trace };
}

/** Starts all nodes, and loads a policy. */
export async function boot(cluster: Cluster): Promise<void> {
  const { time, machines, primary, clients } = cluster;
  void cluster.start(primary);
  await time.pass(bootMs, () => primary.up && (!cluster.shape.failover || primary.wasPrimary));
  for (const machine of machines) if (machine !== primary) void cluster.start(machine);
  await time.pass(bootMs, () => machines.every(({ up }) => up));
  await during(cluster, clients.loadPolicy());
  if (!cluster.shape.failover) return;
  // Without acknowledgements, the only policy may be lost with its primary.
  const { point: loaded } = cluster.primary;
  await time.pass(bootMs, () => cluster.members.every(({ point }) => point === loaded));
}

/** Lets simulated time pass until the work is done. */
async function during<T>(cluster: Cluster, work: Promise<T>): Promise<T> {
  let done = false;
  const end = (): void => void (done = true);
  void work.then(end, end);
  await cluster.time.pass(60_000, () => done);
  if (!done) throw new Violation("something does not come to an end");
  return work;
}

async function step(scene: Scene, struck: Record<string, number>): Promise<void> {
  const { cluster, random } = scene;
  const { clients, time } = cluster;
  for (let writes = random.below(3); writes > 0; writes--) void clients.write();
  for (let questions = random.below(3); questions > 0; questions--) void clients.ask();
  if (random.chance(0.25)) await during(cluster, strike(scene, struck));
  await time.pass(random.chance(0.1) ? random.between(500, 4000) : random.between(5, 400));
}

async function strike(scene: Scene, struck: Record<string, number>): Promise<void> {
  const fault = chosenFault(scene);
  scene.cluster.note(`--- ${fault.name}?`);
  if (!(await fault.strike(scene))) return;
  struck[fault.name] = (struck[fault.name] ?? 0) + 1;
}

function chosenFault({ cluster, random }: Scene): Fault {
  const possible = faults.filter((fault) => fits(fault, cluster));
  const { favourite } = cluster.mutation;
  if (favourite !== undefined && random.chance(0.5)) return must(possible.find(({ name }) => name === favourite));
  const total = possible.reduce((sum, { weight }) => sum + weight, 0);
  let at = random.next() * total;
  return must(possible.find(({ weight }) => (at -= weight) < 0));
}

/** Without faults, all nodes reach the same state. */
async function rest(scene: Scene): Promise<void> {
  scene.cluster.note("--- peace");
  scene.isPeace = true;
  for (const repair of scene.undo) repair();
  await becomeQuiet(scene, "no peace");
}

/** Whatever happened before, an edge can take over from the primary, and all others follow it. */
async function succeed(scene: Scene): Promise<void> {
  const { cluster, operator, random } = scene;
  const before = cluster.primary.point;
  const candidates = await during(cluster, operator.candidates());
  if (candidates.length === 0) throw new Violation("no edge could be promoted, with all well");
  const edge = random.pick(candidates);
  await during(cluster, operator.succeed(edge));
  const promoted = edge.process;
  await becomeQuiet(scene, `no peace since ${edge.name} was promoted with all well`);
  if (cluster.violation !== undefined) return;
  const [primary] = await during(cluster, primariesOf(cluster));
  // If the operator restarts it with its new role, another node may get the lease.
  if (primary !== edge && edge.process === promoted)
    throw new Violation(`${edge.name} was promoted with all well, and is not the primary`);
  if (before === undefined || edge.point === undefined || !isWithin(before, edge.point))
    throw new Violation(`${edge.name} was promoted with all well, and lacks what the primary had`);
}

async function becomeQuiet({ cluster, operator }: Scene, otherwise: string): Promise<void> {
  const { time } = cluster;
  const endMs = time.nowMs + restMs;
  for (;;) {
    await time.pass(1000);
    if (cluster.violation !== undefined) return;
    await during(cluster, operator.tidyUp());
    // A node that changes its role answers when it has its next one.
    const problem = await during(cluster, unrest(cluster));
    if (problem === undefined) return;
    if (time.nowMs > endMs) throw new Violation(`${otherwise}: ${problem}`);
  }
}

/**
 * No acknowledged write is missing, except those that the operator discarded or that are saved in a file. Returns the
 * number of these.
 */
function requireKept(cluster: Cluster, operator: Operator): number {
  const end = cluster.primary.process?.watcher.point;
  if (end === undefined) throw new Violation("the primary has no history");
  const saved = operator.unreplicated();
  requireGone(cluster, operator, saved, end);
  const unreplicated = new Set(saved.map(({ request }) => request));
  const missing = cluster.clients.acknowledged.filter(({ point }) => point !== undefined && !isWithin(point, end));
  for (const { request, point, token } of missing) {
    if (point === undefined || operator.wasRestoredAway(point)) continue;
    const isSaved = point.requestHash !== undefined && unreplicated.has(point.requestHash);
    if (!isSaved && cluster.histories.wentOnFor(point) >= retentionEvents) continue;
    if (!isSaved) throw new Violation(`the write ${request} was acknowledged (${token}) and is gone, without a trace`);
    if (cluster.shape.ack > 0 && !cluster.shape.tears) requireExcuse(cluster, operator, point, end);
  }
  return missing.length;
}

/**
 * The surviving history has no events that are saved in files of unreplicated events. Exception: with force or an old
 * backup, a history that was abandoned for a rival may survive after all if the rival is lost with its primary
 * (`hasRivalOf`).
 */
function requireGone({ histories }: Cluster, operator: Operator, saved: readonly Unreplicated[], end: Point): void {
  if (operator.mayHaveLostHistory) return;
  const points = new Map([...backFrom(end, () => true)].map((point) => [point.offset, point]));
  const there = saved.find(({ epoch, offset, request }) => {
    const point = points.get(offset);
    // A repeated request may be done at the same offset of another history.
    const isSame = point?.requestHash === request && (point.epoch === epoch || histories.continues(point, epoch));
    return isSame && !histories.hasRivalOf(point);
  });
  if (there !== undefined)
    throw new Violation(`the event at ${there.offset} is in the history that went on, and in a file of what is not`);
}

/**
 * With acknowledgements, only writes that were discarded by force may be missing. No write is acknowledged beside a
 * successor either.
 */
function requireExcuse({ shape, chosen }: Cluster, { promotions }: Operator, point: Point, end: Point): void {
  const [begin] = [...backFrom(end, (at) => !isWithin(at, point))].slice(-1);
  const promotion = promotions.find(({ epoch }) => epoch === begin?.epoch);
  if (begin === undefined || promotion?.forced === true) return;
  if (promotion === undefined && !chosen.has(begin.epoch)) return;
  throw new Violation(
    `a write was acknowledged by ${shape.ack} edges (${positionOf(point)}) and is gone since ${begin.by} was promoted at ${positionOf(begin)}`,
  );
}
