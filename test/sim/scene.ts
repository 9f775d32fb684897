/** The environment of faults, and helpers that many faults use. */
import type { Cluster } from "./cluster.ts";
import type { Machine } from "./machines.ts";
import type { Operator } from "./operator.ts";
import type { Random } from "./random.ts";

export interface Scene {
  readonly cluster: Cluster;
  readonly operator: Operator;
  readonly random: Random;
  /** The functions that end faults that have not ended yet. */
  readonly undo: Set<() => void>;
  /** Whether all faults must have ended, also those that were planned for later. */
  isPeace: boolean;
}

export interface Fault {
  readonly name: string;
  /** Relative to the others. */
  readonly weight: number;
  /** Whether it can happen only with failover, or only without. Undefined: both. */
  readonly failover?: boolean;
  /** Returns false if it cannot happen now. */
  readonly strike: (scene: Scene) => boolean | Promise<boolean>;
}

export function fits({ failover }: Fault, { shape }: Cluster): boolean {
  return failover === undefined || failover === shape.failover;
}

/** Ends the fault after a while, or when all faults must end. */
export function later(scene: Scene, lowMs: number, highMs: number, undo: () => void): true {
  const once = (): void => {
    if (scene.undo.delete(once)) undo();
  };
  scene.undo.add(once);
  scene.cluster.time.at(scene.random.between(lowMs, highMs), undefined, once);
  return true;
}

export function up(machine: Machine): Machine | undefined {
  return machine.up ? machine : undefined;
}

export function anEdge({ cluster, random }: Scene): Machine | undefined {
  const edges = cluster.members.filter((member) => member !== cluster.primary && member.up);
  return edges.length === 0 ? undefined : random.pick(edges);
}

export function thePrimary({ cluster }: Scene): Machine | undefined {
  return up(cluster.primary);
}

export function down(scene: Scene, machine: Machine | undefined, how: (machine: Machine) => void): boolean {
  if (machine === undefined) return false;
  how(machine);
  return later(scene, 100, 9000, () => startAgain(scene, machine));
}

/**
 * Starts it in its current role. Sometimes a replaced primary starts as a primary, because it does not know its
 * successor yet.
 */
export function startAgain({ cluster, random }: Scene, machine: Machine): void {
  if (machine.process !== undefined) return;
  const proper = cluster.roleOf(machine);
  const asBefore = proper === "edge" && machine.wasPrimary && random.chance(0.6);
  void cluster.start(machine, asBefore ? "primary" : proper);
}

export function partitionOne(scene: Scene, machine: Machine, lowMs: number, highMs: number): true {
  return partition(scene, [machine], lowMs, highMs);
}

/** The machines reach each other, and only clients reach them. */
export function partition(scene: Scene, machines: readonly Machine[], lowMs: number, highMs: number): true {
  const { cluster } = scene;
  const others = [
    ...cluster.machines.filter((other) => !machines.includes(other)).map(({ name }) => name),
    ...cluster.brokers.map(({ host }) => host),
    cluster.engine.host,
  ];
  const repairs = machines.flatMap(({ name }) => others.map((other) => cutBothWays(cluster, name, other)));
  return later(scene, lowMs, highMs, () => repairs.forEach((repair) => repair()));
}

/** Returns the function that repairs the path. */
export function cutBothWays({ network }: Cluster, one: string, other: string): () => void {
  const repairs = [network.cut(one, other), network.cut(other, one)];
  return () => repairs.forEach((repair) => repair());
}
