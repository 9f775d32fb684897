/**
 * Faults whose effect can be checked only without other faults: each begins in a quiescent cluster, and ends before the
 * next fault.
 */
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { Violation } from "./histories.ts";
import type { Machine } from "./machines.ts";
import { isReplaced } from "./operator.ts";
import { calm } from "./quiescence.ts";
import { anEdge, cutBothWays, type Fault, later, partition, type Scene, startAgain } from "./scene.ts";

export const scenes: readonly Fault[] = [
  { name: "the primary and an edge are partitioned from all others", weight: 1, failover: true, strike: partWithEdge },
  { name: "only the primary is partitioned from all others", weight: 1, failover: true, strike: partPrimary },
  { name: "only the brokers are down", weight: 1, strike: stopBrokers },
  {
    name: "an edge is promoted that the others reach and its primary does not",
    weight: 1,
    failover: false,
    strike: promoteUnseen,
  },
  {
    name: "two edges that do not reach each other are promoted together with common voters",
    weight: 1,
    failover: false,
    strike: promoteTwo,
  },
  {
    name: "a former primary that has followed its successor starts as a primary, and its successor ends",
    weight: 1,
    failover: false,
    strike: restartFormer,
  },
  {
    name: "a copy of the primary's directory is started and reaches all others",
    weight: 1,
    failover: false,
    strike: startDuplicate,
  },
  {
    name: "a copy of the primary's directory is started in a partition that then heals",
    weight: 1,
    failover: false,
    strike: joinTwin,
  },
];

/** Until its successor has begun. */
const writesMeanwhile = 25;

/**
 * When the others have another primary. The edge does not know it, and must not trust a confirmation of the old one.
 */
async function partWithEdge(scene: Scene): Promise<boolean> {
  const { cluster, random } = scene;
  const { clients, time } = cluster;
  const primary = await calm(scene);
  const edge = anEdge(scene);
  if (primary === undefined || edge === undefined) return false;
  const others = cluster.members.filter((member) => member !== primary && member !== edge);
  partition(scene, [primary, edge], 16_000, 18_000);
  await time.sleep(random.between(8000, 9000));
  for (let questions = 0; questions < 4; questions++) {
    void clients.write(random.pick(others).name);
    await time.sleep(random.between(1000, 2000));
    void clients.askLatest(edge.name);
    void clients.ask(edge.name);
  }
  return true;
}

/** More than enough for a lease of 5 s and a second or two for votes. */
const successorWithinMs = 12_000;

/** It gives no response, not even an error. All the same another node becomes the primary soon. */
async function partPrimary(scene: Scene): Promise<boolean> {
  const { cluster } = scene;
  const { time } = cluster;
  const primary = await calm(scene);
  if (primary === undefined) return false;
  partition(scene, [primary], successorWithinMs + 2000, successorWithinMs + 3000);
  const others = cluster.members.filter((member) => member !== primary);
  for (const endMs = time.nowMs + successorWithinMs; time.nowMs < endMs; await time.sleep(100)) {
    const standings = await Promise.all(others.map((member) => cluster.health(member)));
    if (standings.some((health) => health?.role === "primary")) return true;
  }
  throw new Violation(`no node has replaced ${primary.name} after ${successorWithinMs} ms of silence`);
}

/**
 * A read that waits for an event takes no longer than with a broker. Acknowledgements take until the event stream
 * counts as silent.
 */
async function stopBrokers(scene: Scene): Promise<boolean> {
  const { cluster, random } = scene;
  const { brokers, clients, time } = cluster;
  if (cluster.shape.ack > 0 || (await calm(scene)) === undefined) return false;
  for (const broker of brokers) broker.stop();
  later(scene, 4000, 8000, () => brokers.forEach((broker) => broker.start()));
  for (let rounds = 0; rounds < 4; rounds++) {
    await time.sleep(random.between(50, 800));
    await clients.writeAndRead(random.pick(cluster.members).name, random.pick(cluster.members).name);
  }
  return true;
}

/**
 * The old primary continues to write, while the others vote for the edge and its term has not begun. One of the voters
 * then loses its connection to the edge, and maybe its process. Because of its vote it must not count for the old
 * primary any more.
 */
async function promoteUnseen(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const { clients, time } = cluster;
  if (cluster.shape.ack === 0) return false;
  const primary = await calm(scene);
  const edge = anEdge(scene);
  if (primary === undefined || edge === undefined) return false;
  const voters = cluster.members.filter((member) => member !== primary && member !== edge);
  const unseen = [primary.name, ...cluster.brokers.map(({ host }) => host)];
  const repairs = unseen.map((name) => cutBothWays(cluster, edge.name, name));
  later(scene, 7000, 12_000, () => repairs.forEach((repair) => repair()));
  for (let writes = 0; writes < writesMeanwhile; writes++)
    time.at(writes * 150, undefined, () => void clients.write(primary.name));
  time.at(random.between(1100, 1700), undefined, () => {
    const voter = random.pick(voters);
    repairs.push(cutBothWays(cluster, edge.name, voter.name));
    if (random.chance(0.5)) voter.kill();
    if (voter.process === undefined) void cluster.start(voter, "edge");
  });
  await operator.promote(edge, false);
  await time.sleep(3000);
  return true;
}

/**
 * One of the others votes for both, or for one of them. If one edge must have each write, neither candidate could be
 * sure that the other has none.
 */
async function promoteTwo(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const { time } = cluster;
  if (cluster.shape.ack === 1) return false;
  const primary = await calm(scene);
  const [one, other] = await operator.candidates();
  if (primary === undefined || one === undefined || other === undefined) return false;
  primary.kill();
  later(scene, 8000, 10_000, () => startAgain(scene, primary));
  later(scene, 8000, 10_000, cutBothWays(cluster, one.name, other.name));
  const first = operator.promote(one, false);
  await time.sleep(random.between(0, 200));
  const second = await operator.promote(other, false);
  if ((await first) && second)
    throw new Violation(`${one.name} and ${other.name} were both promoted with the same votes`);
  return true;
}

/** It knows its successor, so it stays an edge, although the others would vote for it. */
async function restartFormer(scene: Scene): Promise<boolean> {
  const { cluster, operator, random } = scene;
  const { clients, time } = cluster;
  const former = await calm(scene);
  const edge = anEdge(scene);
  if (former === undefined || edge === undefined) return false;
  former.kill();
  if (!(await operator.promote(edge, false))) return later(scene, 100, 3000, () => startAgain(scene, former));
  if ((await calm(scene)) !== edge) return false;
  await former.stop();
  for (let writes = 0; writes < 3; writes++) void clients.write(edge.name);
  await time.sleep(random.between(500, 2000));
  void cluster.start(former, "primary");
  await time.sleep(random.between(0, 3000));
  edge.kill();
  later(scene, 12_000, 13_000, () => startAgain(scene, edge));
  await time.sleep(11_000);
  const health = await cluster.health(former);
  if (health?.role === "primary" && !isReplaced(health))
    throw new Violation(`${former.name} is the primary again, although it knew its successor`);
  return true;
}

/** The second process must step down before it has acknowledged anything. */
async function startDuplicate(scene: Scene): Promise<boolean> {
  const { cluster } = scene;
  const { clients, time, duplicate } = cluster;
  const primary = await startCopy(scene);
  if (primary === undefined) return false;
  for (let writes = 0; writes < 4; writes++) {
    void clients.write(primary.name);
    await time.sleep(2000);
    if (await clients.isWritten(duplicate.name))
      throw new Violation(`a copy of ${primary.name} acknowledges writes beside it`);
  }
  await requirePrimary(cluster, primary);
  return true;
}

/** It reaches no other node when it starts, and writes until it does. */
async function joinTwin(scene: Scene): Promise<boolean> {
  const { cluster } = scene;
  const { time, duplicate } = cluster;
  const primary = await startCopy(scene);
  if (primary === undefined) return false;
  partition(scene, [duplicate], 7000, 8000);
  await time.sleep(14_000);
  const health = await cluster.health(duplicate);
  if (health?.role === "primary" && !isReplaced(health))
    throw new Violation(`a copy of ${primary.name} stays a primary beside it`);
  await requirePrimary(cluster, primary);
  return true;
}

/** Returns the primary whose copy it is, or undefined if there is none now. */
async function startCopy(scene: Scene): Promise<Machine | undefined> {
  const { cluster } = scene;
  const { time, duplicate } = cluster;
  const primary = duplicate.process === undefined ? await calm(scene) : undefined;
  if (primary === undefined) return undefined;
  const path = join(cluster.root, `duplicate-${time.nowMs}`);
  primary.backup(path);
  void cluster.startDuplicate(path);
  later(scene, 15_000, 16_000, () => duplicate.kill());
  return primary;
}

async function requirePrimary(cluster: Cluster, primary: Machine): Promise<void> {
  const health = await cluster.health(primary);
  if (health?.role !== "primary" || isReplaced(health))
    throw new Violation(`${primary.name} gave way to a copy of itself`);
}
