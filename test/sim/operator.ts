/**
 * Whoever runs the cluster: starts what is down, promotes an edge when the primary is gone, puts back old backups, and makes an edge of a primary that
 * was replaced. What he may do without losing an acknowledged write, and what not, is written down here, and held against what was lost.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/util/assert.ts";
import type { Cluster, Standing } from "./cluster.ts";
import { isWithin, type Point, Violation } from "./histories.ts";
import type { Machine } from "./machines.ts";
import type { Random } from "./random.ts";

export interface OperatorCounts {
  promotions: number;
  forcedPromotions: number;
  refusedPromotions: number;
  restores: number;
  demotions: number;
  wiped: number;
}

export interface Unreplicated {
  /** Of the node when it saved the event. */
  readonly epoch: string;
  readonly offset: number;
  /** As events name it. */
  readonly request: string;
}

interface Restore {
  readonly before: Point;
  readonly after: Point;
}

interface Promotion {
  readonly epoch: string | null;
  /** Whether what stood against it was passed over. */
  readonly forced: boolean;
}

export class Operator {
  readonly counts: OperatorCounts = {
    promotions: 0,
    forcedPromotions: 0,
    refusedPromotions: 0,
    restores: 0,
    demotions: 0,
    wiped: 0,
  };
  readonly promotions: Promotion[] = [];
  readonly #cluster: Cluster;
  readonly #restores: Restore[] = [];
  readonly #backups = new Map<Machine, { readonly path: string; readonly point: Point | undefined }>();
  #backupCount = 0;
  readonly #copies = new Map<Machine, { readonly path: string; readonly point: Point | undefined }>();
  /** What was found in files of events that were never replicated, of directories that are gone. */
  readonly #kept = new Map<string, Unreplicated>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  backUp(): void {
    const { primary, root } = this.#cluster;
    const path = join(root, `backup-${this.#backupCount++}`);
    this.#backups.set(primary, { path, point: primary.backup(path) });
  }

  /** Of the present epoch: one of before would look like a primary that was replaced. */
  get hasBackup(): boolean {
    const { primary } = this.#cluster;
    const epoch = this.#backups.get(primary)?.point?.epoch;
    return epoch !== undefined && epoch === primary.process?.watcher.point?.epoch;
  }

  /** Of a node that may be an edge, now and then. */
  copy(machine: Machine, random: Random): void {
    if (!machine.up || random.chance(0.5)) return;
    const path = join(this.#cluster.root, `copy-${this.#backupCount++}`);
    this.#copies.set(machine, { path, point: machine.backup(path) });
  }

  /** Puts the copy of a node's files in place of them, and starts it. Whether there was one. */
  async putBack(machine: Machine): Promise<boolean> {
    const copy = this.#copies.get(machine);
    const before = machine.process?.watcher.point;
    if (copy?.point === undefined || before === undefined) return false;
    machine.kill();
    this.keepUnreplicated();
    machine.restore(copy.path);
    this.#cluster.note(`${machine.name} is put back to ${copy.point.epoch}:${copy.point.offset}`);
    this.#restores.push({ before, after: copy.point });
    this.counts.restores++;
    await this.#cluster.start(machine);
    return true;
  }

  /** Puts a copy of the primary's files in place of them, as of a machine that is rolled back, and starts it. */
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
    this.counts.restores++;
    await this.#cluster.start(primary);
  }

  /** Tells an edge to become the primary. Whether it has. */
  async promote(edge: Machine, force: boolean): Promise<boolean> {
    const { clients } = this.#cluster;
    const answer = await clients.call(edge.name, "POST", "/api/promote", { force });
    this.#cluster.note(
      `promoting ${edge.name}${force ? " with force" : ""}: ${answer?.status ?? "no answer"} ${answer?.body ?? ""}`,
    );
    const standing = await this.#cluster.standing(edge);
    if (answer?.status !== 200 && standing?.role !== "primary") {
      this.counts.refusedPromotions++;
      return false;
    }
    this.counts.promotions++;
    if (force) this.counts.forcedPromotions++;
    this.promotions.push({ epoch: standing?.epoch ?? null, forced: force });
    this.#cluster.primary = edge;
    // What was saved of the primary of before must not be put back over what came after it.
    this.#backups.clear();
    return true;
  }

  /** Tells an edge to take over from the primary, which hands over. */
  async handOver(edge: Machine): Promise<void> {
    const answer = await this.#cluster.clients.call(edge.name, "POST", "/api/promote", { graceful: true });
    this.#cluster.note(`handing over to ${edge.name}: ${answer?.status ?? "no answer"} ${answer?.body ?? ""}`);
    if (answer?.status === 200) this.counts.promotions++;
    else this.counts.refusedPromotions++;
  }

  /** The same where nothing is wrong: then it must succeed. */
  async succeed(edge: Machine): Promise<void> {
    const answer = await this.#cluster.clients.call(edge.name, "POST", "/api/promote", { graceful: true });
    this.#cluster.note(
      `${edge.name} takes over, with all well: ${answer?.status ?? "no answer"} ${answer?.body ?? ""}`,
    );
    if (answer?.status !== 200)
      throw new Violation(`${edge.name} can't be promoted with all well: ${answer?.status} ${answer?.body}`);
    this.#cluster.primary = edge;
  }

  /** Edges that are up, whoever has most first. */
  async candidates(): Promise<readonly Machine[]> {
    const { members, primary } = this.#cluster;
    const standings = await Promise.all(
      members
        .filter((member) => member !== primary && member.up)
        .map(async (member) => ({ member, standing: await this.#cluster.standing(member) })),
    );
    return standings
      .filter(({ standing }) => standing?.role === "edge" && standing.offset !== null)
      .toSorted((a, b) => (b.standing?.offset ?? 0) - (a.standing?.offset ?? 0))
      .map(({ member }) => member);
  }

  /** Makes edges of primaries that know that they were replaced, and starts what is down. */
  async tidyUp(): Promise<void> {
    for (const machine of this.#cluster.machines) {
      const { process } = machine;
      if (process === undefined) void this.#cluster.start(machine);
      else if (process.failed !== undefined) await this.#afterFailure(machine, process.failed);
      else if (isReplaced(await this.#cluster.standing(machine))) await this.demote(machine);
    }
  }

  async demote(machine: Machine): Promise<void> {
    if (machine === this.#cluster.primary) await this.#acceptSuccessor(machine);
    if (machine === this.#cluster.primary) return;
    this.counts.demotions++;
    await machine.stop();
    void this.#cluster.start(machine, "edge");
  }

  /** The operator's own idea of who is the primary may be the one that is wrong. */
  async #acceptSuccessor(machine: Machine): Promise<void> {
    for (const other of this.#cluster.members) {
      const standing = other === machine ? undefined : await this.#cluster.standing(other);
      if (standing?.role === "primary" && standing.state === "PRIMARY") this.#cluster.primary = other;
    }
  }

  async #afterFailure(machine: Machine, failure: unknown): Promise<void> {
    machine.kill();
    if (!String(failure).includes("is damaged")) return void this.#cluster.start(machine);
    // A primary's database can't be mended; its data are those of its edges.
    if (machine === this.#cluster.primary) return;
    this.keepUnreplicated();
    this.counts.wiped++;
    machine.wipe();
    void this.#cluster.start(machine, "edge");
  }

  /** Whether the operator knew that this write might be lost: he put back a backup from before it. */
  wasRestoredAway(point: Point): boolean {
    return this.#restores.some(({ before, after }) => isWithin(point, before) && !isWithin(point, after));
  }

  keepUnreplicated(): void {
    for (const event of this.#unreplicatedNow()) this.#kept.set(`${event.request} ${event.offset}`, event);
  }

  /** The events that are in files of what was never replicated. */
  unreplicated(): readonly Unreplicated[] {
    this.keepUnreplicated();
    return [...this.#kept.values()];
  }

  *#unreplicatedNow(): Generator<Unreplicated> {
    for (const { directory } of this.#cluster.machines) {
      for (const name of readdirSync(directory)) {
        if (!name.startsWith("unreplicated-")) continue;
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

export function isReplaced(standing: Standing | undefined): boolean {
  return standing?.state === "FENCED";
}

/** The nodes that take themselves for the primary. */
export async function primariesOf(cluster: Cluster): Promise<readonly Machine[]> {
  const found: Machine[] = [];
  for (const member of cluster.members) {
    const standing = await cluster.standing(member);
    if (standing?.role === "primary" && !isReplaced(standing)) found.push(must(member));
  }
  return found;
}
