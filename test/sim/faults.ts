/** The faults of a simulated cluster. Each decides whether it can happen now, and most of them end after a while. */
import { join } from "node:path";
import { fairBroker, type Lie } from "./brokers.ts";
import { skewsMs, type Cluster } from "./cluster.ts";
import type { DiskState } from "./disks.ts";
import { isWithin } from "./histories.ts";
import { fair } from "./network.ts";
import type { Machine } from "./machines.ts";
import { isReplaced } from "./operator.ts";
import { scenes } from "./scenes.ts";
import {
  anEdge,
  cutBothWays,
  down,
  type Fault,
  partitionOne,
  later,
  type Scene,
  startAgain,
  thePrimary,
  up,
} from "./scene.ts";

export const faults: readonly Fault[] = [
  { name: "an edge is killed", weight: 5, strike: (scene) => down(scene, anEdge(scene), (machine) => machine.kill()) },
  {
    name: "an edge loses its power",
    weight: 5,
    strike: (scene) => down(scene, anEdge(scene), (machine) => machine.cutPower()),
  },
  { name: "a node is restarted", weight: 3, strike: restart },
  {
    name: "the primary is killed",
    weight: 4,
    strike: (scene) => down(scene, thePrimary(scene), (machine) => machine.kill()),
  },
  {
    name: "the primary loses its power",
    weight: 3,
    strike: (scene) => down(scene, thePrimary(scene), (machine) => machine.cutPower()),
  },
  {
    name: "the fallback is killed",
    weight: 2,
    strike: (scene) => down(scene, up(scene.cluster.fallback), (machine) => machine.kill()),
  },
  { name: "a node is frozen", weight: 4, strike: freeze },
  { name: "two nodes are partitioned", weight: 5, strike: part },
  { name: "a node is partitioned from all others", weight: 3, strike: isolate },
  { name: "a node is partitioned from a broker", weight: 4, strike: partFromBroker },
  { name: "a broker is restarted", weight: 4, strike: restartBroker },
  { name: "a broker drops, duplicates and delays messages", weight: 6, strike: brokerWeather },
  { name: "a broker drops events and repeats an old head", weight: 3, strike: (scene) => brokerLies(scene, "repeat") },
  { name: "a broker delays all messages", weight: 2, strike: (scene) => brokerLies(scene, "delay") },
  { name: "all brokers lie to an edge that does not reach its primary", weight: 5, strike: brokersLieToOne },
  { name: "the network is bad", weight: 6, strike: networkWeather },
  { name: "a file is damaged while its node is down", weight: 4, strike: tearDown },
  { name: "a file is damaged while its node runs", weight: 3, strike: tearUp },
  { name: "bits flip in the file of a running node", weight: 4, strike: flipBits },
  { name: "a disk is full", weight: 3, strike: (scene) => spoilDisk(scene, "full") },
  { name: "a disk fails", weight: 3, strike: (scene) => spoilDisk(scene, "failing") },
  { name: "a disk fails by chance", weight: 3, strike: (scene) => spoilDisk(scene, "unsteady") },
  { name: "a clock is set wrong", weight: 2, strike: skew },
  { name: "a backup is made", weight: 3, strike: backUp },
  { name: "an old backup is restored", weight: 2, strike: restore },
  { name: "an edge is promoted over a dead primary", weight: 4, failover: false, strike: failOver },
  { name: "an edge is promoted over a partitioned primary", weight: 3, failover: false, strike: failOverParted },
  { name: "an edge is promoted over a living primary", weight: 2, failover: false, strike: usurp },
  {
    name: "the only edge that has a write loses its power and is then promoted",
    weight: 2,
    failover: false,
    strike: failOverAfterPowerCut,
  },
  { name: "two edges that do not reach each other are promoted", weight: 2, failover: false, strike: failOverTwice },
  { name: "a former primary starts and reaches no other node", weight: 3, failover: false, strike: startAlone },
  {
    name: "a copy of the primary's directory is started on another machine",
    weight: 3,
    failover: false,
    strike: startDuplicate,
  },
  { name: "the coordination service is frozen", weight: 4, failover: true, strike: stopEngine },
  { name: "a node is partitioned from the coordination service", weight: 6, failover: true, strike: partFromEngine },
  { name: "the primary is frozen", weight: 6, failover: true, strike: freezePrimary },
  { name: "the primary is partitioned from all others", weight: 4, failover: true, strike: isolatePrimary },
  { name: "the primary hands over", weight: 4, failover: true, strike: handOver },
  { name: "an old copy of a directory is restored", weight: 4, failover: true, strike: putBack },
  ...scenes,
];

async function restart(scene: Scene): Promise<boolean> {
  const running = scene.cluster.machines.filter((machine) => machine.up);
  if (running.length === 0) return false;
  const machine = scene.random.pick(running);
  await machine.stop();
  return later(scene, 10, 3000, () => startAgain(scene, machine));
}

function freeze({ cluster, random }: Scene): boolean {
  const running = cluster.machines.filter((machine) => machine.up);
  if (running.length === 0) return false;
  random.pick(running).freeze(random.between(200, 9000));
  return true;
}

function part(scene: Scene): boolean {
  const { cluster, random } = scene;
  const [one, other] = [random.pick(cluster.machines), random.pick(cluster.machines)];
  if (one === other) return false;
  const repairs = [cluster.network.cut(one.name, other.name)];
  if (random.chance(0.7)) repairs.push(cluster.network.cut(other.name, one.name));
  return later(scene, 300, 12_000, () => repairs.forEach((repair) => repair()));
}

function isolate(scene: Scene): boolean {
  return partitionOne(scene, scene.random.pick(scene.cluster.machines), 300, 10_000);
}

/**
 * After its successor was promoted, and twice: each start begins a term, and none may be later than the successor's.
 */
async function startAlone(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const [edge] = await operator.candidates();
  if (edge === undefined) return false;
  const before = cluster.primary;
  if (before.process !== undefined) before.kill();
  if (!(await operator.promote(edge, false))) return later(scene, 100, 3000, () => startAgain(scene, before));
  partitionOne(scene, before, 14_000, 15_000);
  for (let starts = 0; starts < 2; starts++) {
    void cluster.start(before, "primary");
    for (let writes = 0; writes < 2; writes++) void cluster.clients.write(edge.name);
    await cluster.time.sleep(random.between(6000, 7000));
    before.kill();
  }
  return later(scene, 100, 5000, () => startAgain(scene, before));
}

async function startDuplicate(scene: Scene): Promise<boolean> {
  const { cluster } = scene;
  if (!cluster.primary.up || cluster.duplicate.process !== undefined) return false;
  const path = join(cluster.root, `duplicate-${cluster.time.nowMs}`);
  cluster.primary.backup(path);
  void cluster.startDuplicate(path);
  return later(scene, 3000, 9000, () => cluster.duplicate.kill());
}

function stopEngine(scene: Scene): boolean {
  const { engine } = scene.cluster;
  if (engine.isDown) return false;
  return later(scene, 300, 12_000, engine.stop());
}

/** The primary is chosen as often as all other nodes together. */
function partFromEngine(scene: Scene): boolean {
  const { cluster, random } = scene;
  const { name } = random.chance(0.5) ? cluster.primary : random.pick(cluster.members);
  const { host } = cluster.engine;
  const repairs = [cluster.network.cut(name, host)];
  if (random.chance(0.6)) repairs.push(cluster.network.cut(host, name));
  return later(scene, 300, 12_000, () => repairs.forEach((repair) => repair()));
}

/** Usually longer than the lease. */
function freezePrimary({ cluster, random }: Scene): boolean {
  if (!cluster.primary.up) return false;
  cluster.primary.freeze(random.between(1000, 12_000));
  return true;
}

/** At a time when another node may be the primary. */
const electionDelaysMs = [8000, 10_000, 12_000, 14_000];

/** Clients still reach it. They write to it and to other nodes when it may have a successor. */
function isolatePrimary(scene: Scene): boolean {
  const { cluster, random } = scene;
  const { primary } = cluster;
  if (!primary.up) return false;
  const others = cluster.members.filter((member) => member !== primary);
  for (const delayMs of electionDelaysMs) {
    cluster.time.at(delayMs - 1000, undefined, () => void cluster.clients.write(random.pick(others).name));
    cluster.time.at(delayMs, undefined, () => void cluster.clients.write(primary.name));
  }
  return partitionOne(scene, primary, 1000, 18_000);
}

/** As if a machine is rolled back. Its writes would be lost without peers that have them, so all other nodes run. */
async function putBack({ cluster, operator, random }: Scene): Promise<boolean> {
  const machine = random.pick(cluster.members);
  if (!cluster.members.every(({ up }) => up)) return false;
  return operator.putBack(machine);
}

async function handOver({ operator, random }: Scene): Promise<boolean> {
  const candidates = await operator.candidates();
  if (candidates.length === 0) return false;
  await operator.handOver(random.pick(candidates));
  return true;
}

function partFromBroker(scene: Scene): boolean {
  const { cluster, random } = scene;
  const [machine, broker] = [random.pick(cluster.members), random.pick(cluster.brokers)];
  const repairs = [cluster.network.cut(machine.name, broker.host)];
  if (random.chance(0.6)) repairs.push(cluster.network.cut(broker.host, machine.name));
  return later(scene, 300, 15_000, () => repairs.forEach((repair) => repair()));
}

function restartBroker(scene: Scene): boolean {
  const broker = scene.random.pick(scene.cluster.brokers);
  if (!broker.up) return false;
  broker.stop();
  return later(scene, 50, 6000, () => broker.start());
}

function brokerWeather(scene: Scene): boolean {
  const { random, cluster } = scene;
  const broker = random.pick(cluster.brokers);
  broker.weather = { dropped: random.next() * 0.5, doubled: random.next() * 0.3, late: random.next() * 0.4 };
  return later(scene, 1000, 10_000, () => (broker.weather = fairBroker));
}

function brokerLies(scene: Scene, lie: Lie): boolean {
  const broker = scene.random.pick(scene.cluster.brokers);
  broker.lie(lie);
  return later(scene, 3000, 20_000, () => broker.lie(undefined));
}

/** At a time when its data may be too old to answer. */
const questionsMs = [7000, 8000, 9000, 9500];

/** Then the edge can checker the age of its data only by the messages of the brokers. */
function brokersLieToOne(scene: Scene): boolean {
  const { cluster } = scene;
  const edge = anEdge(scene);
  if (edge === undefined) return false;
  for (const broker of cluster.brokers) broker.lie("repeat");
  const others = cluster.members.filter((other) => other !== edge);
  const repairs = others.map(({ name }) => cutBothWays(cluster, edge.name, name));
  for (const delayMs of questionsMs) cluster.time.at(delayMs, undefined, () => void cluster.clients.ask(edge.name));
  return later(scene, 10_000, 20_000, () => {
    for (const broker of cluster.brokers) broker.lie(undefined);
    for (const repair of repairs) repair();
  });
}

function networkWeather(scene: Scene): boolean {
  const { random, cluster } = scene;
  cluster.network.weather = {
    lost: random.next() * 0.3,
    reset: random.next() * 0.2,
    brokenBody: random.next() * 0.2,
    damagedBody: random.next() * 0.3,
    slow: random.next() * 0.4,
  };
  return later(scene, 1000, 10_000, () => (cluster.network.weather = fair));
}

/** The file of an edge or the fallback: no other node has the events that only the primary has. */
function tearDown(scene: Scene): boolean {
  const { cluster, random } = scene;
  if (!cluster.shape.tears) return false;
  const candidates = cluster.machines.filter(
    (machine) => isRedundant(cluster, machine) && machine.process === undefined,
  );
  if (candidates.length > 0) return random.pick(candidates).tear();
  const edge = anEdge(scene);
  if (edge === undefined || !isRedundant(cluster, edge)) return false;
  edge.kill();
  later(scene, 100, 5000, () => startAgain(scene, edge));
  return edge.tear();
}

function tearUp({ cluster, random }: Scene): boolean {
  if (!cluster.shape.tears) return false;
  const candidates = cluster.machines.filter((machine) => isRedundant(cluster, machine) && machine.up);
  return candidates.length > 0 && random.pick(candidates).tear();
}

function flipBits({ cluster, random }: Scene): boolean {
  if (!cluster.shape.tears) return false;
  const candidates = cluster.machines.filter((machine) => isRedundant(cluster, machine) && machine.up);
  if (candidates.length === 0) return false;
  const machine = random.pick(candidates);
  for (const delayMs of askedAfterFlipMs)
    cluster.time.at(delayMs, undefined, () => void cluster.clients.ask(machine.name));
  return machine.flipBits();
}

/** At a time when the node must have detected it. */
const askedAfterFlipMs = [1300, 1500, 1700, 2000, 2500, 3000, 3500];

/**
 * A file is damaged only if other nodes have all of its data: the file of a replaced primary may have unreplicated
 * events.
 */
function isRedundant({ primary, engine }: Cluster, machine: Machine): boolean {
  if (machine === primary || machine.wasPrimary || engine.isHolder(machine.name)) return false;
  const [own, newest] = [machine.point, primary.point];
  return own === undefined || (newest !== undefined && isWithin(own, newest));
}

/**
 * The disk of the primary is chosen as often as all others together. Sometimes its node or its power fails as well,
 * usually right after a failed commit, and comes back while the disk still fails or later.
 */
function spoilDisk(scene: Scene, state: DiskState): boolean {
  const { cluster, random } = scene;
  const machine = random.chance(0.5) ? cluster.primary : random.pick(cluster.machines);
  const { disk } = machine;
  if (disk.state !== "well") return false;
  disk.state = state;
  const crash = (): void => {
    if (machine.up && !scene.isPeace) down(scene, machine, (one) => (random.chance(0.6) ? one.cutPower() : one.kill()));
  };
  disk.onLeft = () => {
    if (random.chance(0.6)) cluster.time.at(random.between(0, 50), undefined, crash);
  };
  if (random.chance(0.3)) cluster.time.at(random.between(50, 4000), undefined, crash);
  return later(scene, 300, 8000, () => {
    disk.state = "well";
    disk.onLeft = () => {};
  });
}

function skew({ cluster, random }: Scene): boolean {
  random.pick(cluster.machines).skewMs = random.pick(skewsMs);
  return true;
}

function backUp({ cluster, operator, random }: Scene): boolean {
  if (!cluster.primary.up) return false;
  if (cluster.shape.failover) for (const machine of cluster.members) operator.copy(machine, random);
  operator.backUp();
  return true;
}

async function restore({ cluster, operator }: Scene): Promise<boolean> {
  if (!cluster.primary.up || !operator.hasBackup) return false;
  await operator.restore();
  return true;
}

async function failOver(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const [edge] = await operator.candidates();
  if (edge === undefined) return false;
  const before = cluster.primary;
  if (before.process !== undefined) before.kill();
  await cluster.time.sleep(random.between(0, 3000));
  await operator.promote(edge, random.chance(0.2));
  return later(scene, 100, 12_000, () => startAgain(scene, before));
}

async function failOverParted(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const [edge] = await operator.candidates();
  if (edge === undefined || !cluster.primary.up) return false;
  partitionOne(scene, cluster.primary, 2000, 15_000);
  await cluster.time.sleep(random.between(0, 3000));
  await operator.promote(edge, random.chance(0.2));
  return true;
}

/**
 * The other nodes miss an event that the primary and one edge have. Both lose their power, and the edge comes back
 * first.
 */
async function failOverAfterPowerCut(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const before = cluster.primary;
  const [edge, ...others] = await operator.candidates();
  if (cluster.shape.ack !== 1 || !before.up || edge === undefined || others.length === 0) return false;
  for (const other of others) partitionOne(scene, other, 2500, 3500);
  for (let writes = 0; writes < 4; writes++) void cluster.clients.write(before.name);
  await cluster.time.sleep(random.between(800, 2000));
  before.cutPower();
  edge.cutPower();
  void cluster.start(edge, "edge");
  await cluster.time.sleep(4000);
  await operator.promote(edge, false);
  return later(scene, 100, 12_000, () => startAgain(scene, before));
}

/** As if two operators act, or two nodes hold the lease. */
async function failOverTwice(scene: Scene): Promise<boolean> {
  const { cluster, operator } = scene;
  const [one, other] = await operator.candidates();
  if (one === undefined || other === undefined) return false;
  const before = cluster.primary;
  if (before.process !== undefined) before.kill();
  partitionOne(scene, one, 2000, 10_000);
  await Promise.all([operator.promote(one, false), operator.promote(other, false)]);
  return later(scene, 100, 12_000, () => startAgain(scene, before));
}

async function usurp(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const candidates = await operator.candidates();
  if (candidates.length === 0 || !cluster.primary.up) return false;
  if (isReplaced(await cluster.health(cluster.primary))) return false;
  await operator.promote(random.pick(candidates), true);
  return true;
}
