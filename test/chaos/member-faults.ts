/**
 * Faults of a cluster with a changing primary, drawn from a seed. In addition to `faults.ts`: a node loses the
 * coordination service or only the other nodes, the service loses its quorum, a directory is rolled back or loses the end
 * of a file, a clock is set wrong, an operator promotes a node.
 */
import * as Bun from "bun";
import { below, pick, random, type Random } from "../../scripts/benchmark/random.ts";
import { healthAt, type Health } from "../../scripts/node-process.ts";
import { firstLineOf } from "../harness/verdicts.ts";
import { isUnguarded, type NodeName } from "./cluster-plan.ts";
import { DirectorySnapshots } from "./directory-snapshots.ts";
import { MemberFaultActions } from "./member-fault-actions.ts";
import {
  engineFaultKinds,
  hostsFor,
  isAllowed,
  lossFaultKinds,
  together,
  type MemberFaultKind,
} from "./member-rules.ts";
import { durationMsMin, injectFaults, tellFault, type Fault } from "./fault-loop.ts";
import { isMember, memberNames, type Host } from "./network.ts";
import { isFollowing, type ChaosCluster } from "./chaos-cluster.ts";
import type { ClusterMonitor } from "./cluster-monitor.ts";

export interface MemberFaultsOptions {
  readonly cluster: ChaosCluster;
  readonly watch: ClusterMonitor;
  readonly kinds: readonly MemberFaultKind[];
  readonly seed: number;
  readonly tell: (text: string) => void;
}

const pauseMsMax = 2000;
/** By kind, if it is not 8 s. A lease of six seconds has to expire during some of them. */
const durationMsMax: Partial<Record<MemberFaultKind, number>> = {
  freeze: 20_000,
  "cut from the cluster": 15_000,
  "cut from the other nodes": 15_000,
};
const usualMsMax = 8000;
/** A primary is cut off for at least this time if another one should replace it meanwhile. */
const unguardedMs = 12_000;
/** The probability that the primary is chosen, and that a second member is affected. */
const [primaryMostly, secondMostly, memberMostly] = [0.6, 0.2, 0.7];
/**
 * Drawn more often: after these another node becomes the primary, and data are lost only while all nodes are healthy.
 */
const shares: Partial<Record<MemberFaultKind, number>> = {
  kill: 3,
  freeze: 3,
  "cut from the cluster": 3,
  "rolled-back directory": 8,
  "torn file": 3,
  promotion: 2,
};
const catchUpMsMax = 30_000;

export class MemberFaults {
  /** By node, how often its directory was rolled back. */
  readonly setBack = new Map<string, number>();
  readonly #options: MemberFaultsOptions;
  readonly #kinds: readonly MemberFaultKind[];
  readonly #next: Random;
  readonly #acts: MemberFaultActions;
  /** If set, only the primary is affected. */
  readonly #isUnguarded: boolean;
  /** Until a host has recovered. */
  readonly #active = new Map<Host, MemberFaultKind>();
  /** Only until the cause is gone. */
  readonly #disturbed = new Map<Host, MemberFaultKind>();
  /** Members that did not recover in time. */
  readonly failures: string[] = [];

  constructor(options: MemberFaultsOptions) {
    const { cluster, kinds, seed } = options;
    this.#options = options;
    const hasEngine = cluster.plan.members?.failover === true;
    const hasClocks = cluster.clocks.missing === undefined;
    const isUsable = (kind: MemberFaultKind): boolean =>
      (hasEngine || !(engineFaultKinds as readonly string[]).includes(kind)) && (hasClocks || kind !== "wrong clock");
    this.#kinds = kinds.filter(isUsable).flatMap((kind) => Array<MemberFaultKind>(shares[kind] ?? 1).fill(kind));
    this.#next = random(seed);
    this.#isUnguarded = isUnguarded(cluster.plan);
    this.#acts = new MemberFaultActions({
      cluster,
      copies: new DirectorySnapshots(cluster.directory),
      next: this.#next,
    });
  }

  /** The name of a node, and how often it was rolled back. */
  readonly nameNow = (node: string): string => {
    const times = this.setBack.get(node);
    return times === undefined ? node : `${node}#${times}`;
  };

  /** Resolves with all faults when the last one is over and all nodes have recovered. */
  async run(lengthMs: number): Promise<readonly Fault<MemberFaultKind>[]> {
    await this.#acts.keepCopies();
    const [next, suffer] = [this.#next, (fault: Fault<MemberFaultKind>) => this.#suffer(fault)];
    return injectFaults(lengthMs, { next, pauseMsMax, draw: () => this.#draw(), suffer });
  }

  async #draw(): Promise<Omit<Fault<MemberFaultKind>, "startMs"> | undefined> {
    const kind = pick(this.#next, this.#kinds);
    const host = this.#chooseHost(kind);
    const drawnMs = durationMsMin + below(this.#next, (durationMsMax[kind] ?? usualMsMax) - durationMsMin);
    const leastMs = this.#isUnguarded && kind === "cut from the cluster" ? unguardedMs : 0;
    const isSecond = this.#next() < secondMostly && !this.#isUnguarded;
    if (!isAllowed(this.#active, host, kind, isSecond)) return undefined;
    if (isLoss(kind) && !(await this.#areWell())) return undefined;
    return { kind, host, durationMs: Math.max(drawnMs, leastMs) };
  }

  #chooseHost(kind: MemberFaultKind): Host {
    const { cluster, watch } = this.#options;
    const possible = hostsFor(kind, cluster.hosts);
    // Only an edge is promoted.
    const members = possible.filter(isMember).filter((name) => kind !== "promotion" || !watch.primaries.includes(name));
    const luck = this.#next();
    const isOfMembers = members.length > 0 && this.#next() < memberMostly;
    const primary = members.find((name) => watch.primaries.includes(name));
    if (primary !== undefined && (this.#isUnguarded || (isOfMembers && luck < primaryMostly))) return primary;
    return pick(this.#next, isOfMembers || (kind === "promotion" && members.length > 0) ? members : possible);
  }

  async #suffer(fault: Fault<MemberFaultKind>): Promise<void> {
    const { kind, host, durationMs } = fault;
    this.#active.set(host, kind);
    // Its role before the fault.
    const role = this.#roleOf(host);
    this.#disturb(host, kind);
    const { text, undo } = await this.#acts.begin(host, kind);
    this.#options.tell(tellFault(fault, host + role, text));
    if (isLoss(kind)) this.setBack.set(host, (this.setBack.get(host) ?? 0) + 1);
    await Bun.sleep(durationMs);
    await undo();
    this.#soothe(host);
    await this.#recover(host, kind);
    this.#active.delete(host);
  }

  #roleOf(host: Host): string {
    return this.#options.watch.primaries.includes(host as NodeName) ? " (primary)" : "";
  }

  #disturb(host: Host, kind: MemberFaultKind): void {
    const before = together(this.#disturbed);
    this.#disturbed.set(host, kind);
    const after = together(this.#disturbed);
    this.#options.watch.nodesChanged(after.length >= 2, after.length < before.length);
  }

  #soothe(host: Host): void {
    this.#disturbed.delete(host);
    this.#options.watch.nodesChanged(together(this.#disturbed).length >= 2, false);
  }

  /** A node that follows again follows a primary, which may be missing for some time during other faults. */
  async #recover(host: Host, kind: MemberFaultKind): Promise<void> {
    const isAlone = (): boolean => this.#active.size === 1;
    const fit = (health: Health): boolean => health.ok && (!isAlone() || isFollowing(health));
    try {
      await this.#options.cluster.recovered(host, isLoss(kind) ? isFollowing : fit);
      if (isLoss(kind)) await this.#caughtUp(host);
    } catch (error) {
      this.failures.push(`${host} does not recover from: ${kind}: ${firstLineOf(error)}`);
    }
  }

  /** The events that one member has lost exist only on the other one, until the first has them again. */
  async #caughtUp(host: Host): Promise<void> {
    const target = Math.max(...(await this.#offsets()));
    for (const endMs = performance.now() + catchUpMsMax; performance.now() < endMs; await Bun.sleep(200)) {
      const { offset } = (await this.#health(host)) ?? { offset: null };
      if (offset !== null && offset >= target) return;
    }
    throw new Error(`it does not come to ${target}`);
  }

  /** Whether all members have all acknowledged writes. */
  async #areWell(): Promise<boolean> {
    const healths = await Promise.all(memberNames.map((name) => this.#health(name)));
    return healths.every((health) => health !== undefined && isFollowing(health));
  }

  async #offsets(): Promise<number[]> {
    const healths = await Promise.all(memberNames.map((name) => this.#health(name)));
    return healths.map((health) => health?.offset ?? 0);
  }

  #health(host: Host): Promise<Health | undefined> {
    return healthAt(this.#options.cluster.urlOf(host as NodeName)).catch(() => undefined);
  }
}

const isLoss = (kind: MemberFaultKind): boolean => (lossFaultKinds as readonly string[]).includes(kind);
