/**
 * The simulated operator of the cluster: starts nodes that are down, promotes an edge when the primary is down,
 * restores old backups, and makes a replaced primary an edge. This file defines which of these actions may lose
 * acknowledged writes, and the losses are checked against that.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/util/assert.ts";
import type { Cluster, Standing } from "./cluster.ts";
import { isWithin, type Point, Violation } from "./histories.ts";
import type { Machine } from "./machines.ts";
import type { Random } from "./random.ts";

export interface Unreplicated {
  /** The epoch of the node when it saved the event. */
  readonly epoch: string;
  readonly offset: number;
  /** As events store it. */
  readonly request: string;
}

interface Restore {
  readonly before: Point;
  readonly after: Point;
}

interface Promotion {
  readonly epoch: string | null;
  /** Whether it was forced. */
  readonly forced: boolean;
}

export class Operator {
  readonly promotions: Promotion[] = [];
  readonly #cluster: Cluster;
  readonly #restores: Restore[] = [];
  readonly #backups = new Map<Machine, { readonly path: string; readonly point: Point | undefined }>();
  #backupCount = 0;
  readonly #copies = new Map<Machine, { readonly path: string; readonly point: Point | undefined }>();
  /** The events in files of unreplicated events of directories that were deleted. */
  readonly #kept = new Map<string, Unreplicated>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Whether it did something that may let an abandoned history survive. */
  get mayHaveLostHistory(): boolean {
    return this.#restores.length > 0 || this.promotions.some(({ forced }) => forced);
  }

  backUp(): void {
    const { primary, root } = this.#cluster;
    const path = join(root, `backup-${this.#backupCount++}`);
    this.#backups.set(primary, { path, point: primary.backup(path) });
  }

  /** A backup of the current epoch. A backup of an earlier epoch would look like a replaced primary. */
  get hasBackup(): boolean {
    const { primary } = this.#cluster;
    const epoch = this.#backups.get(primary)?.point?.epoch;
    return epoch !== undefined && epoch === primary.process?.watcher.point?.epoch;
  }

  /** Backups of any node. */
  copy(machine: Machine, random: Random): void {
    if (!machine.up || random.chance(0.5)) return;
    const path = join(this.#cluster.root, `copy-${this.#backupCount++}`);
    this.#copies.set(machine, { path, point: machine.backup(path) });
  }

  /** Replaces a node's files by a copy, and starts it. Returns whether there was a copy. */
  async putBack(machine: Machine): Promise<boolean> {
    const copy = this.#copies.get(machine);
    const before = machine.process?.watcher.point;
    if (copy?.point === undefined || before === undefined) return false;
    machine.kill();
    this.keepUnreplicated();
    machine.restore(copy.path);
    this.#cluster.note(`${machine.name} is put back to ${copy.point.epoch}:${copy.point.offset}`);
    this.#restores.push({ before, after: copy.point });
    await this.#cluster.start(machine);
    return true;
  }

  /** Replaces the primary's files by a copy, as if its machine is rolled back, and starts it. */
  async restore(): Promise<void> {
    const { primary } = this.#cluster;
    const backup = this.#backups.get(primary);
    const before = primary.process?.watcher.point;
    if (backup?.point === undefined || before === undefined) return;
    primary.kill();
    this.keepUnreplicated();
    primary.restore(backup.path);
    this.#cluster.note(`${primary.name} is put back to ${backup.point.offset}`);
    this.#restores.push({ before, after: backup.point });
    await this.#cluster.start(primary);
  }

  /** Promotes an edge. Returns whether it became the primary. */
  async promote(edge: Machine, force: boolean): Promise<boolean> {
    const { clients } = this.#cluster;
    const answer = await clients.call(edge.name, "POST", "/api/promote", { force });
    this.#cluster.note(
      `promoting ${edge.name}${force ? " with force" : ""}: ${answer?.status ?? "no answer"} ${answer?.body ?? ""}`,
    );
    const health = await this.#cluster.health(edge);
    if (answer?.status !== 200 && health?.role !== "primary") {
      this.#cluster.counts.add("promotions refused");
      return false;
    }
    this.#cluster.counts.add("promotions");
    this.promotions.push({ epoch: health?.epoch ?? null, forced: force });
    this.#cluster.primary = edge;
    // A backup of the previous primary must not replace later events.
    this.#backups.clear();
    return true;
  }

  /** Promotes an edge gracefully: the primary hands over. */
  async handOver(edge: Machine): Promise<void> {
    const answer = await this.#cluster.clients.call(edge.name, "POST", "/api/promote", { graceful: true });
    this.#cluster.note(`handing over to ${edge.name}: ${answer?.status ?? "no answer"} ${answer?.body ?? ""}`);
    if (answer?.status === 200) this.#cluster.counts.add("promotions");
    else this.#cluster.counts.add("promotions refused");
  }

  /** The same without faults: then it must succeed. */
  async succeed(edge: Machine): Promise<void> {
    const answer = await this.#cluster.clients.call(edge.name, "POST", "/api/promote", { graceful: true });
    this.#cluster.note(
      `${edge.name} takes over, with all well: ${answer?.status ?? "no answer"} ${answer?.body ?? ""}`,
    );
    if (answer?.status !== 200)
      throw new Violation(`${edge.name} can't be promoted with all well: ${answer?.status} ${answer?.body}`);
    this.#cluster.primary = edge;
  }

  /** The edges that are up, the one with the most events first. */
  async candidates(): Promise<readonly Machine[]> {
    const { members, primary } = this.#cluster;
    const standings = await Promise.all(
      members
        .filter((member) => member !== primary && member.up)
        .map(async (member) => ({ member, health: await this.#cluster.health(member) })),
    );
    return standings
      .filter(({ health }) => health?.role === "edge" && health.offset !== null)
      .toSorted((a, b) => (b.health?.offset ?? 0) - (a.health?.offset ?? 0))
      .map(({ member }) => member);
  }

  /** Makes primaries edges that know that they were replaced, and starts nodes that are down. */
  async tidyUp(): Promise<void> {
    for (const machine of this.#cluster.machines) {
      const { process } = machine;
      if (process === undefined) void this.#cluster.start(machine);
      else if (process.failed !== undefined) await this.#afterFailure(machine, process.failed);
      else if (isReplaced(await this.#cluster.health(machine))) await this.demote(machine);
    }
    await this.#replaceLostPrimary();
  }

  /**
   * A primary that gave way to a copy of itself is an edge. When that copy is gone, an edge has to become the primary.
   * Without such a copy, a primary that became an edge has to recover by itself.
   */
  async #replaceLostPrimary(): Promise<void> {
    const { primary, duplicate, shape } = this.#cluster;
    const isCopyGone = duplicate.point !== undefined && duplicate.process === undefined;
    if (shape.failover || !isCopyGone) return;
    if ((await this.#cluster.health(primary))?.role !== "edge" || (await primariesOf(this.#cluster)).length > 0) return;
    const [edge] = await this.candidates();
    if (edge !== undefined) await this.promote(edge, false);
  }

  async demote(machine: Machine): Promise<void> {
    if (machine === this.#cluster.primary) await this.#acceptSuccessor(machine);
    if (machine === this.#cluster.primary) return;
    this.#cluster.counts.add("primaries of before made edges");
    await machine.stop();
    void this.#cluster.start(machine, "edge");
  }

  /** The operator may be wrong about which node is the primary. */
  async #acceptSuccessor(machine: Machine): Promise<void> {
    for (const other of this.#cluster.members) {
      const health = other === machine ? undefined : await this.#cluster.health(other);
      if (health?.role === "primary" && health.state === "PRIMARY") this.#cluster.primary = other;
    }
  }

  async #afterFailure(machine: Machine, failure: unknown): Promise<void> {
    machine.kill();
    if (!String(failure).includes("is damaged")) return void this.#cluster.start(machine);
    // A primary's database cannot be repaired; its edges have the data.
    if (machine === this.#cluster.primary) return;
    this.keepUnreplicated();
    machine.wipe();
    void this.#cluster.start(machine, "edge");
  }

  /** Whether the operator knew that this write might be lost, because of the restore of an earlier backup. */
  wasRestoredAway(point: Point): boolean {
    return this.#restores.some(({ before, after }) => isWithin(point, before) && !isWithin(point, after));
  }

  keepUnreplicated(): void {
    for (const event of this.#unreplicatedNow()) this.#kept.set(`${event.request} ${event.offset}`, event);
  }

  /** The events in files of unreplicated events. */
  unreplicated(): readonly Unreplicated[] {
    this.keepUnreplicated();
    return [...this.#kept.values()];
  }

  *#unreplicatedNow(): Generator<Unreplicated> {
    for (const { directory } of this.#cluster.machines) {
      for (const name of readdirSync(directory)) {
        // A crash may leave a file that is not complete, which ends with `.new`.
        if (!/^unreplicated-.*\.ndjson$/.test(name)) continue;
        for (const line of readFileSync(join(directory, name), "utf8").split("\n").filter(Boolean)) {
          const { epoch, offset, effect } = JSON.parse(line) as Omit<Unreplicated, "request"> & {
            readonly effect: { readonly request?: string };
          };
          if (effect.request !== undefined) yield { epoch, offset, request: effect.request };
        }
      }
    }
  }
}

export function isReplaced(health: Standing | undefined): boolean {
  return health?.state === "FENCED";
}

/** The nodes that regard themselves as the primary. */
export async function primariesOf(cluster: Cluster): Promise<readonly Machine[]> {
  const found: Machine[] = [];
  for (const member of cluster.members) {
    const health = await cluster.health(member);
    if (health?.role === "primary" && !isReplaced(health)) found.push(must(member));
  }
  return found;
}
