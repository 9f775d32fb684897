/** Faults that are told from others only where nothing else goes wrong: each begins when all is well, and ends before the next fault strikes. */
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { Violation } from "./histories.ts";
import type { Machine } from "./machines.ts";
import { isReplaced } from "./operator.ts";
import { calm } from "./quiescence.ts";
import { anEdge, cutBothWays, type Fault, later, parted, type Scene, startAgain } from "./scene.ts";

export const scenes: readonly Fault[] = [
  { name: "the primary and an edge are parted from all others", weight: 1, failover: true, strike: partWithEdge },
  { name: "the primary is parted from all, and nothing else", weight: 1, failover: true, strike: partPrimary },
  { name: "all brokers are down, and nothing else", weight: 1, strike: stopBrokers },
  {
    name: "an edge is promoted that others reach and its primary does not",
    weight: 1,
    failover: false,
    strike: promoteUnseen,
  },
  {
    name: "two edges are promoted at once that others reach and they do not each other",
    weight: 1,
    failover: false,
    strike: promoteTwo,
  },
  {
    name: "a copy of the primary's directory is started while all reach each other",
    weight: 1,
    failover: false,
    strike: startTwin,
  },
  {
    name: "a copy of the primary's directory is started apart from all, and joins them",
    weight: 1,
    failover: false,
    strike: joinTwin,
  },
];

/** Until after its successor has begun. */
const writesMeanwhile = 25;

/** Once the others have another primary: the edge knows nothing of it, and must not take the old one's word. */
async function partWithEdge(scene: Scene): Promise<boolean> {
  const { cluster, random } = scene;
  const { clients, time } = cluster;
  const primary = await calm(scene);
  const edge = anEdge(scene);
  if (primary === undefined || edge === undefined) return false;
  const others = cluster.members.filter((member) => member !== primary && member !== edge);
  parted(scene, [primary, edge], 16_000, 18_000);
  await time.sleep(random.between(8000, 9000));
  for (let questions = 0; questions < 4; questions++) {
    void clients.write(random.pick(others).name);
    await time.sleep(random.between(1000, 2000));
    void clients.askLatest(edge.name);
    void clients.ask(edge.name);
  }
  return true;
}

/** By far enough for a lease of 5 s and a second or two for votes. */
const successorWithinMs = 12_000;

/** It gives no answer, also no refusal: all the same another node takes its place soon. */
async function partPrimary(scene: Scene): Promise<boolean> {
  const { cluster } = scene;
  const { time } = cluster;
  const primary = await calm(scene);
  if (primary === undefined) return false;
  parted(scene, [primary], successorWithinMs + 2000, successorWithinMs + 3000);
  const others = cluster.members.filter((member) => member !== primary);
  for (const endMs = time.nowMs + successorWithinMs; time.nowMs < endMs; await time.sleep(100)) {
    const standings = await Promise.all(others.map((member) => cluster.standing(member)));
    if (standings.some((standing) => standing?.role === "primary")) return true;
  }
  throw new Violation(`nobody has taken the place of ${primary.name} after ${successorWithinMs} ms of silence`);
}

/** Whoever waits for an event has it as soon as with a broker. Acknowledgements of edges are not waited for so, and take until the feed counts as silent. */
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
 * The old primary writes on, while the others give the edge their votes and it has not begun its term. One of them then loses the way to it, and perhaps its
 * process: whatever it promised it must not count for the old primary any more.
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
  const mends = unseen.map((name) => cutBothWays(cluster, edge.name, name));
  later(scene, 7000, 12_000, () => mends.forEach((mend) => mend()));
  for (let writes = 0; writes < writesMeanwhile; writes++)
    time.at(writes * 150, undefined, () => void clients.write(primary.name));
  time.at(random.between(1100, 1700), undefined, () => {
    const voter = random.pick(voters);
    mends.push(cutBothWays(cluster, edge.name, voter.name));
    if (random.chance(0.5)) voter.kill();
    if (voter.process === undefined) void cluster.start(voter, "edge");
  });
  await operator.promote(edge, false);
  await time.sleep(3000);
  return true;
}

/** One of the others votes for both, or for one of them. With one edge that must have each write, neither could be sure that the other has none. */
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

/** The newcomer must be the one that gives way, before it has acknowledged anything. */
async function startTwin(scene: Scene): Promise<boolean> {
  const { cluster } = scene;
  const { clients, time, twin } = cluster;
  const primary = await startCopy(scene);
  if (primary === undefined) return false;
  for (let writes = 0; writes < 4; writes++) {
    void clients.write(primary.name);
    await time.sleep(2000);
    if (await clients.isWritten(twin.name))
      throw new Violation(`a copy of ${primary.name} acknowledges writes beside it`);
  }
  await requirePrimary(cluster, primary);
  return true;
}

/** It could hear of nobody when it started, and writes until it does. */
async function joinTwin(scene: Scene): Promise<boolean> {
  const { cluster } = scene;
  const { time, twin } = cluster;
  const primary = await startCopy(scene);
  if (primary === undefined) return false;
  parted(scene, [twin], 7000, 8000);
  await time.sleep(14_000);
  const standing = await cluster.standing(twin);
  if (standing?.role === "primary" && !isReplaced(standing))
    throw new Violation(`a copy of ${primary.name} stays a primary beside it`);
  await requirePrimary(cluster, primary);
  return true;
}

/** Gives the primary whose copy it is; undefined where it can't be now. */
async function startCopy(scene: Scene): Promise<Machine | undefined> {
  const { cluster } = scene;
  const { time, twin } = cluster;
  const primary = twin.process === undefined ? await calm(scene) : undefined;
  if (primary === undefined) return undefined;
  const path = join(cluster.root, `twin-${time.nowMs}`);
  primary.backup(path);
  void cluster.startTwin(path);
  later(scene, 15_000, 16_000, () => twin.kill());
  return primary;
}

async function requirePrimary(cluster: Cluster, primary: Machine): Promise<void> {
  const standing = await cluster.standing(primary);
  if (standing?.role !== "primary" || isReplaced(standing))
    throw new Violation(`${primary.name} gave way to a copy of itself`);
}
