/** The cluster of a chaos run: nodes, brokers and perhaps members of etcd as processes, each on a host of its own. */
import * as Bun from "bun";
import { copyFileSync, linkSync } from "node:fs";
import { join } from "node:path";
import { NodeProcess, randomHex, type Health } from "../../scripts/node-process.ts";
import { prepareMosquitto, type Mosquitto } from "../e2e/mosquitto.ts";
import { Clocks } from "./clocks.ts";
import { hostsOf, nodesOf, planNode, type ClusterPlan, type NodeName } from "./cluster-plan.ts";
import { Disks } from "./disks.ts";
import { EtcdMember } from "./etcd.ts";
import { isBroker, isEtcd, type Host, type Network } from "./network.ts";
import { ProcessCluster } from "../harness/process-cluster.ts";
import { sendPolicy } from "../harness/register-policy.ts";

/** A process that can be killed and frozen, and restarted. */
export interface FaultTarget {
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** Restarts it after `kill`. */
  start(): Promise<void>;
}

const recoveryMsMax = 40_000;
const superviseMs = 300;

export class ChaosCluster extends ProcessCluster<NodeName> {
  readonly plan: ClusterPlan;
  readonly network: Network;
  readonly disks: Disks;
  readonly clocks: Clocks;
  readonly #brokers = new Map<Host, Mosquitto>();
  readonly #etcd = new Map<Host, EtcdMember>();

  /** Exits that the supervisor has seen. */
  readonly #seen = new Map<NodeProcess, number>();
  #supervisor: ReturnType<typeof setInterval> | undefined;

  private constructor(plan: ClusterPlan, network: Network) {
    super("chaos");
    this.plan = plan;
    this.network = network;
    this.disks = new Disks(this.directory, network.kind === "proxies");
    this.clocks = new Clocks(this.directory);
  }

  /** Resolves when all nodes run and all replicas follow. The caller must always call `stop` afterwards. */
  static async start(binary: string, network: Network, plan: ClusterPlan): Promise<ChaosCluster> {
    const cluster = new ChaosCluster(plan, network);
    await cluster.startWith(async () => {
      await cluster.#startEtcd();
      await cluster.#startBrokers();
      await cluster.#describeNodes(cluster.#keepBinary(binary));
      await cluster.#startNodes();
      cluster.#supervisor = setInterval(() => cluster.#startEnded(), superviseMs);
    });
    return cluster;
  }

  get names(): readonly NodeName[] {
    return nodesOf(this.plan);
  }

  get hosts(): readonly Host[] {
    return hostsOf(this.plan);
  }

  /** The address of a node for clients. */
  urlOf(name: NodeName): string {
    return `http://${this.network.address("clients", name)}`;
  }

  victim(host: Host): FaultTarget {
    const other = this.#brokers.get(host) ?? this.#etcd.get(host);
    if (other !== undefined) return other;
    const node = this.node(host as NodeName);
    return {
      kill: () => node.kill(),
      freeze: () => node.signal("SIGSTOP"),
      thaw: () => node.signal("SIGCONT"),
      start: () => node.start(),
    };
  }

  /** Resolves when a host has recovered: a node answers, and an edge follows. A broker needs nothing. */
  async recovered(host: Host, fit: (health: Health) => boolean = isFollowing): Promise<void> {
    const node = this.nodes.get(host as NodeName);
    if (node === undefined) return;
    for (const endMs = performance.now() + recoveryMsMax; ; await Bun.sleep(superviseMs)) {
      const exits = node.exits.length;
      try {
        return await node.ready(fit, Math.max(0, endMs - performance.now()));
      } catch (error) {
        // It exited by itself: that is counted, and it is restarted.
        const hasEnded = !node.running || node.exits.length > exits;
        if (!hasEnded || performance.now() > endMs) throw error;
      }
    }
  }

  /** Whether the coordination service answers a client with intact links. */
  hasEngine(): Promise<boolean> {
    return this.#askEngine((member) => member.hasQuorum());
  }

  /**
   * Makes the engine claim that the primary has released its lease, as no real engine should. Resolves with whether it
   * does.
   */
  takeLease(): Promise<boolean> {
    const released = (record: string): string =>
      JSON.stringify({ ...(JSON.parse(record) as object), released: true, renewal: randomHex(8) });
    return this.#askEngine((member) => member.replace("ostiary/term", released));
  }

  /** The first member that accepts it is enough. */
  #askEngine(ask: (member: EtcdMember) => Promise<boolean>): Promise<boolean> {
    const answers = [...this.#etcd.values()].map(async (member) => {
      if (!(await ask(member))) throw new Error("no quorum");
    });
    return Promise.any(answers).then(
      () => true,
      () => false,
    );
  }

  /** The exits of nodes that were not killed. */
  get exits(): readonly string[] {
    return [...this.nodes.values()].flatMap(({ exits }) => exits);
  }

  protected override others(): readonly (Mosquitto | EtcdMember)[] {
    return [...this.#brokers.values(), ...this.#etcd.values()];
  }

  protected override release(): void {
    clearInterval(this.#supervisor);
    this.disks.close();
  }

  override stop(): Promise<void> {
    clearInterval(this.#supervisor);
    return super.stop();
  }

  /** A copy, since a build meanwhile must not change the program of a restart. */
  #keepBinary(binary: string): string {
    const kept = join(this.directory, "ostiary");
    try {
      linkSync(binary, kept);
    } catch {
      copyFileSync(binary, kept);
    }
    return kept;
  }

  async #startEtcd(): Promise<void> {
    for (const host of this.hosts.filter(isEtcd)) {
      const member = new EtcdMember(host, this.directory, this.network);
      this.#etcd.set(host, member);
      await member.start();
    }
    if (this.#etcd.size === 0) return;
    for (const endMs = performance.now() + recoveryMsMax; !(await this.hasEngine()); await Bun.sleep(100))
      if (performance.now() > endMs) throw new Error("etcd does not answer");
  }

  async #startBrokers(): Promise<void> {
    for (const host of this.hosts.filter(isBroker)) {
      const like = [...this.#brokers.values()][0];
      const options = { place: this.network.place(host), ...(like === undefined ? {} : { like }) };
      this.#brokers.set(host, await prepareMosquitto(join(this.directory, host), options));
    }
    await Promise.all([...this.#brokers.values()].map((broker) => broker.start()));
  }

  /** Restarts the process like a service manager. */
  #startEnded(): void {
    for (const node of this.nodes.values()) {
      if (node.running || node.exits.length === (this.#seen.get(node) ?? 0)) continue;
      this.#seen.set(node, node.exits.length);
      node.launch();
    }
  }

  async #describeNodes(binary: string): Promise<void> {
    const [mosquitto] = this.#brokers.values();
    const around = { network: this.network, adminKey: this.adminKey, mosquitto };
    for (const name of this.names) {
      const { role, settings } = planNode(name, this.plan, around);
      const { port, ...place } = this.network.place(name);
      const { directory, environment: disk } = await this.disks.prepare(name);
      const clock = this.plan.members === undefined ? {} : this.clocks.prepare(name);
      const common = { OSTIARY_NODE_KEY: this.nodeKey, OSTIARY_LOG_LEVEL: "warning" };
      const preloaded = [disk["LD_PRELOAD"], clock["LD_PRELOAD"]].filter((path) => path !== undefined);
      const preload = preloaded.length === 0 ? {} : { LD_PRELOAD: preloaded.join(":") };
      const environment = { ...common, ...settings, ...disk, ...clock, ...preload };
      this.nodes.set(name, new NodeProcess({ binary, name, role, port, directory, environment, place }));
    }
  }

  /**
   * The first node begins the history, with an engine once it has the lease. If writes need edges, so does the policy.
   */
  async #startNodes(): Promise<void> {
    const [first, ...others] = this.names as [NodeName, ...NodeName[]];
    this.node(first).launch();
    if (this.plan.members?.failover !== true) await this.node(first).ready();
    if (this.plan.members === undefined) await this.#loadPolicy(first);
    for (const name of others) this.node(name).launch();
    if (this.plan.members !== undefined) await this.#loadPolicy(first);
    await Promise.all(this.names.map((name) => this.recovered(name)));
  }

  /** It may take some time until a primary accepts it. */
  async #loadPolicy(name: NodeName): Promise<void> {
    for (const endMs = performance.now() + recoveryMsMax; ; await Bun.sleep(superviseMs)) {
      const answer = await sendPolicy(this.urlOf(name), this.adminKey);
      if (answer === undefined) return;
      if (performance.now() > endMs) throw new Error(`the policy was refused: ${answer}`);
    }
  }
}

export const isFollowing = ({ ok, role, state }: Health): boolean => ok && (role !== "edge" || state === "LIVE");
