/** The cluster that a run of chaos disturbs: a primary, two edges, a fallback and two brokers as processes, each on a host of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newAdminKey, NodeProcess, randomHex, type Health } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { prepareMosquitto, type Mosquitto } from "../e2e/mosquitto.ts";
import { Disks } from "./disks.ts";
import { hosts, isBroker, type Host, type Network } from "./network.ts";

/** A process that can be killed and frozen, and come back. */
export interface Victim {
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** After `kill`. */
  start(): Promise<void>;
}

export const nodeNames = ["primary", "edge-a", "edge-b", "fallback"] as const;
export type NodeName = (typeof nodeNames)[number];

/** Versions of registers are users who hold a role on them: the role is the register's group. See `history.ts`. */
export const groups = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"] as const;

const recoveryMsMax = 40_000;
const superviseMs = 300;

const policy = `
actor User {}
declare probe(User);
resource Register {
  permissions = ["read"];
  roles = ${JSON.stringify(groups)};
${groups.map((group) => `  "read" if "${group}";`).join("\n")}
}
`;

export class OrdealCluster {
  readonly network: Network;
  readonly adminKey = newAdminKey();
  readonly disks: Disks;
  readonly #directory = mkdtempSync(join(tmpdir(), "ostiary-chaos-"));
  readonly #nodes = new Map<Host, NodeProcess>();
  readonly #brokers = new Map<Host, Mosquitto>();

  /** Exits that the supervisor has seen. */
  readonly #seen = new Map<NodeProcess, number>();
  #supervisor: ReturnType<typeof setInterval> | undefined;

  readonly #killAll = (): void => {
    clearInterval(this.#supervisor);
    for (const process of [...this.#nodes.values(), ...this.#brokers.values()]) void process.kill();
    this.disks.close();
    rmSync(this.#directory, { recursive: true, force: true });
  };

  private constructor(network: Network) {
    this.network = network;
    this.disks = new Disks(this.#directory, network.kind === "proxies");
    // Also where this process is interrupted. Signals are sent at once.
    process.once("exit", this.#killAll);
  }

  /** All running and all following. Whatever happens, `stop` has to follow. */
  static async start(binary: string, network: Network): Promise<OrdealCluster> {
    const cluster = new OrdealCluster(network);
    try {
      await cluster.#startBrokers();
      await cluster.#describeNodes(binary);
      await cluster.node("primary").start();
      await cluster.#loadPolicy();
      const followers = (["edge-a", "edge-b", "fallback"] as const).map((name) => cluster.node(name));
      await Promise.all(followers.map((node) => node.start()));
      await Promise.all(nodeNames.map((name) => cluster.recovered(name)));
      cluster.#supervisor = setInterval(() => cluster.#startEnded(), superviseMs);
      return cluster;
    } catch (error) {
      const words = cluster.lastWords();
      await cluster.stop();
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${words}`, { cause: error });
    }
  }

  node(name: NodeName): NodeProcess {
    return must(this.#nodes.get(name));
  }

  /** Where clients find a node. */
  urlOf(name: NodeName): string {
    return `http://${this.network.address("clients", name)}`;
  }

  victim(host: Host): Victim {
    const broker = this.#brokers.get(host);
    if (broker !== undefined) return broker;
    const node = must(this.#nodes.get(host));
    return {
      kill: () => node.kill(),
      freeze: () => node.signal("SIGSTOP"),
      thaw: () => node.signal("SIGCONT"),
      start: () => node.start(),
    };
  }

  /** Resolves when a host is what it was: a node answers, and an edge follows. A broker needs nothing. */
  async recovered(host: Host, fit: (health: Health) => boolean = isFollowing): Promise<void> {
    const node = this.#nodes.get(host);
    if (node === undefined) return;
    for (const endMs = performance.now() + recoveryMsMax; ; await Bun.sleep(superviseMs)) {
      const exits = node.exits.length;
      try {
        return await node.ready(fit, Math.max(0, endMs - performance.now()));
      } catch (error) {
        // It ended by itself: that is counted, and it is started again.
        const hasEnded = !node.running || node.exits.length > exits;
        if (!hasEnded || performance.now() > endMs) throw error;
      }
    }
  }

  /** How nodes ended that nobody has killed. */
  get exits(): readonly string[] {
    return [...this.#nodes.values()].flatMap(({ exits }) => exits);
  }

  lastWords(): string {
    const told = [...this.#nodes].map(([name, { output }]) => `--- ${name}\n${output.slice(-4000)}`);
    return told.join("\n");
  }

  async stop(): Promise<void> {
    clearInterval(this.#supervisor);
    await Promise.all([...this.#nodes.values(), ...this.#brokers.values()].map((process) => process.kill()));
    this.disks.close();
    process.off("exit", this.#killAll);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #startBrokers(): Promise<void> {
    for (const host of hosts.filter(isBroker)) {
      const like = [...this.#brokers.values()][0];
      const options = { place: this.network.place(host), ...(like === undefined ? {} : { like }) };
      this.#brokers.set(host, await prepareMosquitto(join(this.#directory, host), options));
    }
    await Promise.all([...this.#brokers.values()].map((broker) => broker.start()));
  }

  /** As a service manager does. */
  #startEnded(): void {
    for (const node of this.#nodes.values()) {
      if (node.running || node.exits.length === (this.#seen.get(node) ?? 0)) continue;
      this.#seen.set(node, node.exits.length);
      node.launch();
    }
  }

  async #describeNodes(binary: string): Promise<void> {
    const nodeKey = randomHex(32);
    const [broker] = this.#brokers.values();
    for (const name of nodeNames) {
      const login = name === "fallback" ? {} : must(broker)[name === "primary" ? "primary" : "edge"];
      const own: Readonly<Record<string, string>> =
        name === "primary"
          ? { OSTIARY_ADMIN_KEY: this.adminKey, OSTIARY_MQTT_PORT: "0" }
          : { OSTIARY_PRIMARY: `http://${this.network.address(name, "primary")}` };
      const follows =
        name === "fallback" ? { OSTIARY_REFRESH: "2s" } : { ...login, OSTIARY_BROKER: this.#brokersOf(name) };
      const { port, ...place } = this.network.place(name);
      const { directory, environment: disk } = await this.disks.prepare(name);
      const environment = { OSTIARY_NODE_KEY: nodeKey, OSTIARY_LOG_LEVEL: "warning", ...own, ...follows, ...disk };
      const role = name === "edge-a" || name === "edge-b" ? "edge" : name;
      this.#nodes.set(name, new NodeProcess({ binary, name, role, port, directory, environment, place }));
    }
  }

  #brokersOf(name: NodeName): string {
    return [...this.#brokers.keys()].map((broker) => `mqtt://${this.network.address(name, broker)}`).join(",");
  }

  async #loadPolicy(): Promise<void> {
    const response = await fetch(`${this.urlOf("primary")}/api/policy`, {
      method: "POST",
      headers: { Authorization: `Bearer ${this.adminKey}` },
      body: JSON.stringify({ src: policy, filename: "policy.polar" }),
    });
    if (!response.ok) throw new Error(`the policy was refused: ${await response.text()}`);
  }
}

const isFollowing = ({ ok, role, state }: Health): boolean => ok && (role !== "edge" || state === "LIVE");
