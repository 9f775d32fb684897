/**
 * Faults that are drawn from a seed: processes are killed and restarted, frozen and continued, links are cut and
 * repaired, disks fail and recover, several at a time. At every moment some node can answer reads, since otherwise the
 * cluster could not be tested.
 */
import * as Bun from "bun";
import { below, pick, random, type Random } from "../../scripts/benchmark/random.ts";
import type { Health } from "../../scripts/node-process.ts";
import type { NodeName } from "./cluster-plan.ts";
import { DiskProbe, noDiskFigures } from "./disk-probe.ts";
import { diskFaultKinds, type DiskFaultKind } from "./disks.ts";
import { durationMsMin, injectFaults, tellFault, type Fault } from "./fault-loop.ts";
import { isBroker, type Host } from "./network.ts";
import { isFollowing, type ChaosCluster } from "./chaos-cluster.ts";
import type { Readers } from "./readers.ts";
import type { Writers } from "../harness/writers.ts";

export const faultKinds = ["kill", "freeze", "cut from the cluster", "cut from clients", ...diskFaultKinds] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Clients {
  readonly readers: Readers;
  readonly writers: Writers;
}

export interface FaultsOptions {
  readonly cluster: ChaosCluster;
  readonly clients: Clients;
  readonly kinds: readonly FaultKind[];
  readonly seed: number;
  readonly tell: (text: string) => void;
}

const atOnceMax = 3;
const pauseMsMax = 1500;
const durationMsMax = 5000;
/** The probability that a node is killed while its disk fails. It must then start with the data on its disk. */
const killedMostly = 0.3;
/** Within this time a node reports that it cannot write to its disk. */
const reportedAfterMs = 2000;

export class Faults {
  /** The behaviour of nodes while their disks failed. */
  readonly disks = noDiskFigures();
  readonly #cluster: ChaosCluster;
  readonly #clients: Clients;
  readonly #kinds: readonly FaultKind[];
  readonly #next: Random;
  readonly #tell: (text: string) => void;
  readonly #active = new Map<Host, FaultKind>();

  constructor({ cluster, clients, kinds, seed, tell }: FaultsOptions) {
    this.#cluster = cluster;
    this.#clients = clients;
    this.#kinds = kinds.filter((kind) => !isDiskFault(kind) || cluster.disks.kinds.includes(kind));
    this.#next = random(seed);
    this.#tell = tell;
  }

  /** Resolves with all faults when the last one is over and all nodes have recovered. */
  run(lengthMs: number): Promise<readonly Fault<FaultKind>[]> {
    const draw = async () => {
      const [host, kind] = [pick(this.#next, this.#cluster.hosts), pick(this.#next, this.#kinds)];
      const durationMs = durationMsMin + below(this.#next, durationMsMax - durationMsMin);
      return (await this.#isAllowed(host, kind)) ? { kind, host, durationMs } : undefined;
    };
    return injectFaults(lengthMs, { next: this.#next, pauseMsMax, draw, suffer: (fault) => this.#suffer(fault) });
  }

  async #isAllowed(host: Host, kind: FaultKind): Promise<boolean> {
    if (this.#active.has(host) || this.#active.size >= atOnceMax) return false;
    if (isBroker(host) && (kind === "cut from clients" || isDiskFault(kind))) return false;
    const brokers = this.#cluster.hosts.filter(isBroker);
    const readers = readersUnder(new Map(this.#active).set(host, kind), brokers);
    if (readers.includes("fallback")) return true;
    const healths = await Promise.all(readers.map((name) => this.#cluster.node(name).health()));
    return healths.some((health) => health !== undefined && isFollowing(health));
  }

  async #suffer(fault: Fault<FaultKind>): Promise<void> {
    const { kind, host, durationMs } = fault;
    this.#active.set(host, kind);
    const tell = (what: string): void => this.#tell(tellFault(fault, host, what));
    if (isDiskFault(kind)) await this.#sufferDisk(host as NodeName, kind, durationMs, tell);
    else {
      tell(kind);
      const undo = await this.#begin(host, kind);
      await Bun.sleep(durationMs);
      await undo();
    }
    // A restarted edge cannot follow a primary that is down.
    const fit = (health: Health): boolean => health.ok && (this.#isEventStreamDisturbed() || isFollowing(health));
    try {
      await this.#cluster.recovered(host, fit);
    } catch (error) {
      if (!isDiskFault(kind)) throw error;
      this.disks.failures.push(`${host} does not recover from: ${kind}`);
      await this.#cluster.victim(host).kill();
      await this.#cluster.victim(host).start();
    }
    this.#active.delete(host);
  }

  #isEventStreamDisturbed(): boolean {
    return ["primary", "broker-a", "broker-b"].some((host) => this.#active.has(host as Host));
  }

  async #sufferDisk(
    name: NodeName,
    kind: DiskFaultKind,
    durationMs: number,
    tell: (what: string) => void,
  ): Promise<void> {
    const { disks, adminKey } = this.#cluster;
    const node = this.#cluster.node(name);
    const isKilled = this.#next() < killedMostly;
    const url = this.#cluster.urlOf(name);
    const probe = new DiskProbe({
      node: name,
      url,
      key: adminKey,
      ...this.#clients,
      figures: this.disks,
      mayRefuseReads: kind === "read errors",
    });
    const fault = await disks.begin(kind, node, this.#next);
    const text = `${kind} (${fault.text})`;
    tell(isKilled ? `${text}, then kill` : text);
    // New connections wait while a node has no descriptors left.
    const isAsked = kind !== "no file descriptors";
    if (isAsked) probe.start();
    await Bun.sleep(durationMs);
    if (isAsked && name === "primary" && fault.isTotal && durationMs > reportedAfterMs)
      await probe.requireReported(text);
    await probe.stop();
    if (isKilled) await node.kill();
    await fault.end();
    if (isKilled) await node.start();
    else if (name === "primary") await probe.requireWritable(text);
  }

  /** Resolves when the fault is in effect, with a function that ends it. */
  async #begin(host: Host, kind: Exclude<FaultKind, DiskFaultKind>): Promise<() => Promise<void>> {
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
 * The nodes that answer every read during these faults, with any token. The fallback does, unless it is dead, frozen or
 * cut from the clients; if it is cut from the cluster it is only older. An edge does if it gets every write: it, the
 * primary and a broker must be intact. A primary has its own broker if there are no others.
 */
export function readersUnder(
  faults: ReadonlyMap<Host, FaultKind>,
  brokers: readonly Host[],
): ("edge-a" | "edge-b" | "fallback")[] {
  const isSound = (host: Host): boolean => !faults.has(host);
  const isFed = isSound("primary") && (brokers.length === 0 || brokers.some(isSound));
  const edges = isFed ? (["edge-a", "edge-b"] as const).filter(isSound) : [];
  const fallback = faults.get("fallback");
  const isFallbackThere = fallback === undefined || stillAnswers.has(fallback);
  return isFallbackThere ? [...edges, "fallback"] : edges;
}

/** With these faults a fallback answers from its data. A disk fault may end in a kill. */
const stillAnswers: ReadonlySet<FaultKind> = new Set(["cut from the cluster"]);

const isDiskFault = (kind: FaultKind): kind is DiskFaultKind => diskFaultKinds.includes(kind as DiskFaultKind);
