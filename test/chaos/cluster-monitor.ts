/**
 * Monitors a cluster whose primary changes: its epochs, its primary, and whether writes should be possible. It is told
 * about the effects of faults on nodes, and it asks the coordination service whether it answers.
 */
import * as Bun from "bun";
import { healthAt } from "../../scripts/node-process.ts";
import type { AvailabilityChange } from "./availability.ts";
import { frontOf, type NodeName } from "./cluster-plan.ts";
import type { ChaosCluster } from "./chaos-cluster.ts";

const healthEveryMs = 150;
const engineEveryMs = 150;

export class ClusterMonitor {
  /** Terms by epoch. */
  readonly terms = new Map<string, number>();
  readonly turns: AvailabilityChange[] = [{ atMs: performance.now(), isPossible: true }];
  readonly #cluster: ChaosCluster;
  readonly #leading = new Set<NodeName>();
  #hasEngine = true;
  #hasNodes = true;
  #isStopped = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(cluster: ChaosCluster) {
    this.#cluster = cluster;
  }

  start(): void {
    const nodes = frontOf(this.#cluster.plan).map((name) => this.#watchNode(name));
    const engine = this.#cluster.plan.members?.failover === true ? [this.#watchEngine()] : [];
    this.#running = Promise.all([...nodes, ...engine]);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  /** The nodes that claim to be the primary. */
  get primaries(): readonly NodeName[] {
    return [...this.#leading];
  }

  /**
   * Whether enough nodes run and reach each other, from now on; `isLost` if one of them was just affected by a fault.
   */
  nodesChanged(areEnough: boolean, isLost: boolean): void {
    this.#hasNodes = areEnough;
    this.#turn(isLost);
  }

  #turn(isLost: boolean): void {
    const isPossible = this.#hasNodes && this.#hasEngine;
    if (isPossible !== this.turns.at(-1)?.isPossible || (isPossible && isLost))
      this.turns.push({ atMs: performance.now(), isPossible });
  }

  async #watchEngine(): Promise<void> {
    for (; !this.#isStopped; await Bun.sleep(engineEveryMs)) {
      this.#hasEngine = await this.#cluster.hasEngine();
      this.#turn(false);
    }
  }

  async #watchNode(name: NodeName): Promise<void> {
    for (; !this.#isStopped; await Bun.sleep(healthEveryMs)) {
      const health = await healthAt(this.#cluster.urlOf(name)).catch(() => undefined);
      if (health?.epoch && health.term !== null) this.terms.set(health.epoch, health.term);
      if (health?.role === "primary") this.#leading.add(name);
      else this.#leading.delete(name);
    }
  }
}
