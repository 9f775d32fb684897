/**
 * A cluster whose nodes run programs of different releases, each as a process. A node can be restarted with another
 * program, with its data and at its address.
 */
import * as Bun from "bun";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, expectConverged, healthOf, loadExample, type BrokerKind } from "../e2e/cluster.ts";
import { prepareMosquitto, type Mosquitto } from "../e2e/mosquitto.ts";
import { writtenAt } from "./load.ts";

export const names = ["primary", "edge-a", "edge-b", "fallback"] as const;
export type Name = (typeof names)[number];
export type Programs = Readonly<Record<Name, string>>;
type Role = "primary" | "edge" | "fallback";

const roleOf = (name: Name): Role => (name === "primary" || name === "fallback" ? name : "edge");

/** How long tests wait for a state that must be reached, on a machine that does much else. */
export const patienceMs = 60_000;

export class MixedCluster {
  readonly adminKey = newAdminKey();
  /** For nodes that are started from now on. */
  nodeKey = randomHex(32);
  readonly #directory: string;
  readonly #ports: Readonly<Record<Name, number>>;
  readonly #mosquitto: Mosquitto | undefined;
  readonly #nodes = new Map<Name, NodeProcess>();
  /** Including those that were replaced. */
  readonly #all: NodeProcess[] = [];

  constructor(directory: string, ports: Readonly<Record<Name, number>>, mosquitto: Mosquitto | undefined) {
    this.#directory = directory;
    this.#ports = ports;
    this.#mosquitto = mosquitto;
  }

  node(name: Name): NodeProcess {
    return must(this.#nodes.get(name));
  }

  /** The nodes that follow the given one. */
  others(primary: Name): NodeProcess[] {
    return names.filter((name) => name !== primary).map((name) => this.node(name));
  }

  /**
   * Resolves when all others follow the primary: edges are live over its broker, and every node has the role of the
   * last user.
   */
  async followed(primary: Name, lastUser: string): Promise<void> {
    for (const node of this.others(primary)) {
      const isEdge = node !== this.node("fallback");
      const follows = async (): Promise<boolean> =>
        (await healthOf(node)).ok &&
        (!isEdge || (await healthOf(node)).state === "LIVE") &&
        (await writtenAt(node, this.adminKey)).has(lastUser);
      await eventually(follows, `${node.name} follows ${primary}`, patienceMs);
    }
  }

  /** Starts the cluster with the example loaded on all nodes. */
  async start(programs: Programs): Promise<void> {
    this.launch("primary", programs.primary);
    await this.#ready("primary");
    // A write is acknowledged only when there are edges.
    for (const name of ["edge-a", "edge-b", "fallback"] as const) this.launch(name, programs[name]);
    await Promise.all([this.#ready("edge-a"), this.#ready("edge-b")]);
    await loadExample(new Oso(this.node("primary").url, this.adminKey));
    // Without a policy, a fallback is not ready.
    await this.#ready("fallback");
    await expectConverged(this.node("primary"), this.others("primary"), patienceMs);
  }

  #ready(name: Name): Promise<void> {
    return this.node(name).ready(undefined, patienceMs);
  }

  /** Stops the node, and starts it again with another program. `between` runs while it is stopped. */
  async replace(name: Name, program: string, between: () => Promise<void> = async () => {}): Promise<void> {
    await this.node(name).stop();
    await between();
    this.launch(name, program);
    await this.#ready(name);
  }

  /** Migrates the databases of a node, which is stopped meanwhile. Returns what the command prints. */
  async migrate(name: Name, program: string): Promise<string> {
    let output = "";
    await this.replace(name, program, async () => {
      const command = [program, "migrate", "--data", this.node(name).directory];
      const env = { PATH: process.env["PATH"] ?? "" };
      const child = Bun.spawn(command, { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      const [status, printed, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
      if (status !== 0) throw new Error(`${command.join(" ")} ended with ${status}: ${errors}`);
      output = printed;
    });
    return output;
  }

  launch(name: Name, binary: string): void {
    const [role, port, directory] = [roleOf(name), this.#ports[name], join(this.#directory, name)];
    const node = new NodeProcess({ binary, name, role, port, directory, environment: this.#environmentOf(role) });
    this.#nodes.set(name, node);
    this.#all.push(node);
    node.launch();
  }

  #environmentOf(role: Role): Record<string, string> {
    const url = (name: Name): string => `http://127.0.0.1:${this.#ports[name]}`;
    const common = {
      OSTIARY_NODE_KEY: this.nodeKey,
      OSTIARY_PEERS: [url("primary"), url("edge-a"), url("edge-b")].join(","),
    };
    const member = { ...common, OSTIARY_ACK: "edges:1", OSTIARY_MQTT_PORT: "0" };
    const promoted = {
      OSTIARY_PROMOTED_BROKER_USERNAME: this.#mosquitto?.primary["OSTIARY_BROKER_USERNAME"],
      OSTIARY_PROMOTED_BROKER_PASSWORD: this.#mosquitto?.primary["OSTIARY_BROKER_PASSWORD"],
    } as Record<string, string>;
    switch (role) {
      case "primary":
        return { ...member, OSTIARY_ADMIN_KEY: this.adminKey, ...this.#mosquitto?.primary };
      case "edge":
        return {
          ...member,
          OSTIARY_PRIMARY: url("primary"),
          ...(this.#mosquitto === undefined ? {} : { ...this.#mosquitto.edge, ...promoted }),
        };
      case "fallback":
        return { ...common, OSTIARY_PRIMARY: url("primary"), OSTIARY_REFRESH: "1s" };
    }
  }

  /** The output of each process, for the report of a failure. */
  get outputs(): string {
    return this.#all.map(({ name, output }) => `--- ${name}\n${output.slice(-4000)}`).join("\n");
  }

  /** The exits of nodes that were not stopped. */
  get exits(): string[] {
    return this.#all.flatMap(({ exits }) => exits);
  }

  async end(): Promise<void> {
    await Promise.all(this.#all.map((node) => node.kill()));
  }
}

/** Everything that it starts is stopped afterwards. */
export async function withMixedCluster(
  broker: BrokerKind,
  scenario: (cluster: MixedCluster) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-mixed-"));
  const mosquitto = broker === "mosquitto" ? await prepareMosquitto(join(directory, "mosquitto")) : undefined;
  const ports = {
    primary: await freePort(),
    "edge-a": await freePort(),
    "edge-b": await freePort(),
    fallback: await freePort(),
  };
  const cluster = new MixedCluster(directory, ports, mosquitto);
  try {
    await mosquitto?.start();
    await scenario(cluster);
  } catch (error) {
    const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`${told}\n${cluster.outputs}`, { cause: error });
  } finally {
    await cluster.end();
    await mosquitto?.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}
