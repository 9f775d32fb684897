/**
 * What is done to a cluster, drawn from a seed: processes are killed and come back, are frozen and thawed, links are cut and mended, several at a
 * time. What is never done is to leave reads without anybody to answer them, since then nothing could be asked of the cluster.
 */
import { below, pick, random, type Random } from "../../scripts/benchmark/random.ts";
import type { Health } from "../../scripts/node-process.ts";
import { hosts, isBroker, type Host } from "./network.ts";
import type { OrdealCluster } from "./ordeal-cluster.ts";

export const faultKinds = ["kill", "freeze", "cut from the cluster", "cut from clients"] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  readonly kind: FaultKind;
  readonly host: Host;
  /** By the clock of the history. */
  readonly startMs: number;
  /** How long it lasts, without the recovery. */
  readonly durationMs: number;
}

const atOnceMax = 3;
const pauseMsMax = 1500;
const [durationMsMin, durationMsMax] = [300, 5000];

export class Faults {
  readonly #cluster: OrdealCluster;
  readonly #next: Random;
  readonly #tell: (text: string) => void;
  readonly #active = new Map<Host, FaultKind>();
  readonly #done: Fault[] = [];

  constructor(cluster: OrdealCluster, seed: number, tell: (text: string) => void) {
    this.#cluster = cluster;
    this.#next = random(seed);
    this.#tell = tell;
  }

  /** One after the other, overlapping, for as long; resolves with all of them when the last has passed and everybody has recovered. */
  async run(lengthMs: number): Promise<readonly Fault[]> {
    const endMs = performance.now() + lengthMs;
    const running: Promise<void>[] = [];
    for (;;) {
      await Bun.sleep(this.#next() * pauseMsMax);
      const leftMs = endMs - performance.now();
      if (leftMs < durationMsMin) break;
      const [host, kind] = [pick(this.#next, hosts), pick(this.#next, faultKinds)];
      const drawnMs = durationMsMin + below(this.#next, durationMsMax - durationMsMin);
      if (!(await this.#isAllowed(host, kind))) continue;
      const fault = { kind, host, startMs: performance.now(), durationMs: Math.min(drawnMs, leftMs) };
      this.#done.push(fault);
      running.push(this.#suffer(fault));
    }
    await Promise.all(running);
    return this.#done;
  }

  async #isAllowed(host: Host, kind: FaultKind): Promise<boolean> {
    if (this.#active.has(host) || this.#active.size >= atOnceMax) return false;
    if (isBroker(host) && kind === "cut from clients") return false;
    const readers = readersUnder(new Map(this.#active).set(host, kind));
    if (readers.includes("fallback")) return true;
    const healths = await Promise.all(readers.map((name) => this.#cluster.node(name).health()));
    return healths.some((health) => health?.ok === true && isFollowing(health));
  }

  async #suffer({ kind, host, startMs, durationMs }: Fault): Promise<void> {
    this.#active.set(host, kind);
    this.#tell(`${(startMs / 1000).toFixed(1)} s: ${host}: ${kind}, for ${(durationMs / 1000).toFixed(1)} s`);
    const undo = await this.#begin(host, kind);
    await Bun.sleep(durationMs);
    await undo();
    // An edge that lives again can't follow a primary that does not.
    await this.#cluster.recovered(host, (health) => health.ok && (this.#isFeedDisturbed() || isFollowing(health)));
    this.#active.delete(host);
  }

  #isFeedDisturbed(): boolean {
    return ["primary", "broker-a", "broker-b"].some((host) => this.#active.has(host as Host));
  }

  /** Resolves when the fault is there, with what ends it. */
  async #begin(host: Host, kind: FaultKind): Promise<() => Promise<void>> {
    const victim = this.#cluster.victim(host);
    const { network } = this.#cluster;
    switch (kind) {
      case "kill":
        await victim.kill();
        return () => victim.start();
      case "freeze":
        victim.freeze();
        return () => Promise.resolve(victim.thaw());
      case "cut from the cluster":
        await network.cut(host, "cluster");
        return () => network.mend(host, "cluster");
      case "cut from clients":
        await network.cut(host, "clients");
        return () => network.mend(host, "clients");
    }
  }
}

/**
 * Who answers every read while there are these faults, whatever its token. The fallback does, unless it is dead, frozen or cut from those who ask; that
 * it is cut from the cluster only makes it older. An edge does where it learns of every write: itself sound, and the primary and a broker too.
 */
export function readersUnder(faults: ReadonlyMap<Host, FaultKind>): ("edge-a" | "edge-b" | "fallback")[] {
  const isSound = (host: Host): boolean => !faults.has(host);
  const isFed = isSound("primary") && hosts.some((host) => isBroker(host) && isSound(host));
  const edges = isFed ? (["edge-a", "edge-b"] as const).filter(isSound) : [];
  const isFallbackThere = isSound("fallback") || faults.get("fallback") === "cut from the cluster";
  return isFallbackThere ? [...edges, "fallback"] : edges;
}

const isFollowing = ({ role, state }: Health): boolean => role !== "edge" || state === "LIVE";
