/** How each fault of a cluster with a changing primary is started and ended. */
import * as Bun from "bun";
import { below, pick, type Random } from "../../scripts/benchmark/random.ts";
import { isUnguarded, type NodeName } from "./cluster-plan.ts";
import { truncateFile, type DirectorySnapshots } from "./directory-snapshots.ts";
import type { MemberFaultKind } from "./member-rules.ts";
import { etcdNames, isMember, isNode, memberNames, type Host } from "./network.ts";
import type { ChaosCluster } from "./chaos-cluster.ts";

export interface FaultAction {
  /** Describes the fault. */
  readonly text: string;
  /** Ends the cause. The host may need some time to recover. */
  undo(): Promise<void>;
}

export interface MemberFaultActionsOptions {
  readonly cluster: ChaosCluster;
  readonly copies: DirectorySnapshots;
  readonly next: Random;
}

/** In seconds. */
const clockErrors = [-86_400, -3600, -60, -5, 5, 60, 3600, 86_400] as const;
const [promotionMsMax, answerMsMax] = [30_000, 8000];
const gracefulMostly = 0.7;

export class MemberFaultActions {
  readonly #options: MemberFaultActionsOptions;

  constructor(options: MemberFaultActionsOptions) {
    this.#options = options;
  }

  /** Takes the first copies for rollbacks. A frozen node leaves its directory like a killed one. */
  async keepCopies(): Promise<void> {
    const { cluster, copies } = this.#options;
    for (const name of memberNames) {
      const victim = cluster.victim(name);
      victim.freeze();
      await copies.keep(name, cluster.node(name).directory);
      victim.thaw();
    }
  }

  /** Resolves when the fault is in effect. */
  async begin(host: Host, kind: MemberFaultKind): Promise<FaultAction> {
    const { cluster } = this.#options;
    const { network } = cluster;
    const victim = cluster.victim(host);
    switch (kind) {
      case "kill":
        return this.#kill(host);
      case "freeze":
        victim.freeze();
        return { text: kind, undo: async () => victim.thaw() };
      case "cut from the cluster":
        await network.cut(host, "cluster");
        return { text: await this.#unguard(kind, host), undo: () => network.mend(host, "cluster") };
      case "cut from clients":
        await network.cut(host, "clients");
        return { text: kind, undo: () => network.mend(host, "clients") };
      case "cut from the engine":
        return this.#cutFrom(kind, host, etcdNames);
      case "cut from the other nodes":
        return this.#cutFrom(
          kind,
          host,
          memberNames.filter((name) => name !== host),
        );
      case "engine without a quorum":
        return this.#stopEngine(host);
      case "lease taken away":
        return { text: (await cluster.takeLease()) ? kind : `${kind}: in vain`, undo: () => Promise.resolve() };
      case "rolled-back directory":
      case "torn file":
        return this.#lose(host as NodeName, kind);
      case "wrong clock":
        return this.#setClock(host);
      case "promotion":
        return this.#promote(host as NodeName);
    }
  }

  /** Without `--ack`, only the lease prevents two primaries at the same time. */
  async #unguard(text: string, host: Host): Promise<string> {
    const { cluster } = this.#options;
    if (!isUnguarded(cluster.plan) || !isMember(host)) return text;
    for (let attempt = 0; attempt < 5; attempt++)
      if (await cluster.takeLease()) return `${text}, and the lease taken away`;
    return text;
  }

  async #kill(host: Host): Promise<FaultAction> {
    const { cluster, copies } = this.#options;
    const victim = cluster.victim(host);
    await victim.kill();
    if (!isNode(host)) return { text: "kill", undo: () => victim.start() };
    const node = cluster.node(host as NodeName);
    await copies.keep(host, node.directory);
    return { text: "kill", undo: async () => node.launch() };
  }

  async #cutFrom(text: string, host: Host, others: readonly Host[]): Promise<FaultAction> {
    const { network } = this.#options.cluster;
    await Promise.all(others.map((other) => network.cutBetween(host, other)));
    return {
      text,
      undo: async () => void (await Promise.all(others.map((other) => network.mendBetween(host, other)))),
    };
  }

  /** One of three members remains. */
  async #stopEngine(host: Host): Promise<FaultAction> {
    const { cluster, next } = this.#options;
    const other = cluster.victim(
      pick(
        next,
        etcdNames.filter((name) => name !== host),
      ),
    );
    const victims = [cluster.victim(host), other];
    const isKilled = next() < 0.5;
    for (const victim of victims) {
      if (isKilled) await victim.kill();
      else victim.freeze();
    }
    return {
      text: `engine without a quorum, two members ${isKilled ? "killed" : "frozen"}`,
      async undo() {
        for (const victim of victims) {
          if (isKilled) await victim.start();
          else victim.thaw();
        }
      },
    };
  }

  async #lose(name: NodeName, kind: MemberFaultKind): Promise<FaultAction> {
    const { cluster, copies, next } = this.#options;
    const node = cluster.node(name);
    await node.kill();
    const undo = async (): Promise<void> => node.launch();
    if (kind === "torn file") return { text: `${kind}: ${truncateFile(node.directory, next)}`, undo };
    const ageMs = await copies.putBack(name, node.directory);
    return { text: `directory rolled back by ${(ageMs / 1000).toFixed(1)} s`, undo };
  }

  async #setClock(host: Host): Promise<FaultAction> {
    const { cluster, next } = this.#options;
    const seconds = pick(next, clockErrors) + below(next, 3);
    cluster.clocks.set(host, seconds);
    return { text: `clock wrong by ${seconds} s`, undo: async () => cluster.clocks.set(host, 0) };
  }

  /** There is no wait for the answer of a node that is affected by another fault meanwhile. */
  async #promote(name: NodeName): Promise<FaultAction> {
    const { cluster, next } = this.#options;
    const isGraceful = next() < gracefulMostly;
    const answering = fetch(`${cluster.urlOf(name)}/api/promote`, {
      method: "POST",
      headers: { Authorization: `Bearer ${cluster.adminKey}` },
      body: JSON.stringify({ force: false, graceful: isGraceful }),
      signal: AbortSignal.timeout(promotionMsMax),
    }).then(
      ({ status }) => String(status),
      () => "no answer",
    );
    const status = await Promise.race([answering, Bun.sleep(answerMsMax).then(() => "no answer yet")]);
    return { text: `${isGraceful ? "graceful " : ""}promotion: ${status}`, undo: async () => void (await answering) };
  }
}
