/**
 * A cluster of real processes for one scenario: the built binary in its three roles, with the embedded broker or with
 * Mosquitto. If the scenario fails, the error contains the output of all processes. Processes and data are always
 * removed.
 */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { facts } from "../../scripts/example/facts.ts";
import { freePort, newAdminKey, NodeProcess, randomHex, type Health } from "../../scripts/node-process.ts";
import { prepareMosquitto, type Mosquitto } from "./mosquitto.ts";

export type BrokerKind = "embedded" | "mosquitto";

/** With which brokers a scenario runs that is about nodes. `test/replication` has more about each broker. */
export const brokers: readonly BrokerKind[] =
  process.env["BROKERS"] === "all" ? ["embedded", "mosquitto"] : ["mosquitto"];

type Role = "primary" | "edge" | "fallback";
type Settings = Readonly<Record<string, string>>;

export interface ClusterOptions {
  readonly broker: BrokerKind;
  /** Default 2. */
  readonly edges?: number;
  readonly fallback?: boolean;
  /** For every node. */
  readonly environment?: Settings;
  /** Policy and facts of the example company. Default true. */
  readonly loaded?: boolean;
}

export interface Cluster {
  readonly primary: NodeProcess;
  readonly edges: readonly NodeProcess[];
  readonly fallback: NodeProcess;
  /** Undefined for the embedded broker. */
  readonly mosquitto: Mosquitto | undefined;
  readonly adminKey: string;
  readonly nodeKey: string;
  readonly directory: string;
  /** A new official client, without a consistency token. */
  client(node: NodeProcess): Oso;
  /** Another node, not started yet. `binary` is its program, if not the built one. */
  node(name: string, role: Role, environment?: Settings, binary?: string): Promise<NodeProcess>;
}

export const examplePolicy = readFileSync(join(projectRoot, "scripts", "example", "policy.polar"), "utf8");

/** Long enough for a busy machine, also if the binary is built first; a scenario that needs more has failed. */
export const scenarioTimeoutMs = 240_000;

export async function withCluster(
  options: ClusterOptions,
  scenario: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-e2e-"));
  const nodes: NodeProcess[] = [];
  let mosquitto: Mosquitto | undefined;
  try {
    if (options.broker === "mosquitto") {
      mosquitto = await prepareMosquitto(join(directory, "mosquitto"));
      await mosquitto.start();
    }
    const cluster = await startCluster(directory, options, mosquitto, nodes);
    await scenario(cluster);
  } catch (error) {
    const outputs = nodes.map(({ name, output }) => `--- ${name}\n${output.slice(-6000)}`);
    const broker = mosquitto === undefined ? [] : [`--- mosquitto\n${mosquitto.output.slice(-3000)}`];
    throw new Error([`${describe(error)}`, ...outputs, ...broker].join("\n"), { cause: error });
  } finally {
    await Promise.all(nodes.map((node) => node.kill()));
    await mosquitto?.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function startCluster(
  directory: string,
  options: ClusterOptions,
  mosquitto: Mosquitto | undefined,
  nodes: NodeProcess[],
): Promise<Cluster> {
  const built = await builtBinary();
  const adminKey = newAdminKey();
  const nodeKey = randomHex(32);
  const primaryPort = await freePort();
  const all = { OSTIARY_NODE_KEY: nodeKey, ...options.environment };
  const add = (name: string, role: Role, port: number, environment: Settings, binary = built) => {
    const node = new NodeProcess({ binary, name, role, port, directory: join(directory, name), environment });
    nodes.push(node);
    return node;
  };
  const primary = add("primary", "primary", primaryPort, {
    OSTIARY_ADMIN_KEY: adminKey,
    OSTIARY_MQTT_PORT: "0",
    ...mosquitto?.primary,
    ...all,
  });
  const another = async (name: string, role: Role, environment: Settings = {}, binary?: string) => {
    const own = {
      primary: { OSTIARY_ADMIN_KEY: adminKey, OSTIARY_MQTT_PORT: "0" },
      edge: { OSTIARY_PRIMARY: `http://127.0.0.1:${primaryPort}`, ...mosquitto?.edge },
      fallback: { OSTIARY_PRIMARY: `http://127.0.0.1:${primaryPort}`, OSTIARY_REFRESH: "1s" },
    }[role];
    return add(name, role, await freePort(), { ...own, ...all, ...environment }, binary);
  };
  const edges: NodeProcess[] = [];
  for (let index = 0; index < (options.edges ?? 2); index++) {
    edges.push(await another(`edge-${"abcdef"[index]}`, "edge"));
  }
  const fallback = await another("fallback", "fallback");
  const client = (node: NodeProcess) => new Oso(node.url, adminKey);

  await primary.start();
  if (options.loaded ?? true) await loadExample(client(primary));
  const started = options.fallback ? [...edges, fallback] : edges;
  for (const node of started) node.launch();
  await Promise.all(started.map((node) => node.ready()));
  return { primary, edges, fallback, mosquitto, adminKey, nodeKey, directory, client, node: another };
}

export async function loadExample(oso: Oso): Promise<void> {
  await oso.policy(examplePolicy);
  await oso.batch((batch) => {
    for (const fact of facts) batch.insert(fact);
    return Promise.resolve();
  });
}

export async function healthOf(node: NodeProcess): Promise<Health> {
  const health = await node.health();
  if (health === undefined) throw new Error(`${node.name} does not answer`);
  return health;
}

/** Waits until all replicas have the position of the primary, and checks that their states are equal. */
export async function expectConverged(
  primary: NodeProcess,
  replicas: readonly NodeProcess[],
  timeoutMs = 45_000,
): Promise<void> {
  const target = await healthOf(primary);
  for (const replica of replicas) {
    await eventually(
      async () => ((await healthOf(replica)).offset ?? -1) >= (target.offset ?? 0),
      `${replica.name} reaches the primary's offset`,
      timeoutMs,
    );
  }
  const reached = await healthOf(primary);
  for (const replica of replicas) {
    const { epoch, offset, digest } = await healthOf(replica);
    const expected = { epoch: reached.epoch, offset: reached.offset, digest: reached.digest };
    if (!Bun.deepEquals({ epoch, offset, digest }, expected)) {
      throw new Error(
        `${replica.name} is at ${JSON.stringify({ epoch, offset, digest })}, the primary at ${JSON.stringify(expected)}`,
      );
    }
  }
}

export async function eventually(condition: () => Promise<boolean>, what: string, timeoutMs = 45_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(25);
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
}

const describe = (error: unknown): string =>
  error instanceof Error
    ? `${error.stack ?? error.message}${error.cause === undefined ? "" : `\ncause: ${String(error.cause)}`}`
    : String(error);
