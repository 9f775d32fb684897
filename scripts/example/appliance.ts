/**
 * A whole cluster on one machine: a primary with its embedded broker, two edges and a fallback, on loopback with free
 * ports.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../node-process.ts";

export interface Appliance {
  readonly primary: NodeProcess;
  readonly edges: readonly [NodeProcess, NodeProcess];
  readonly fallback: NodeProcess;
  readonly nodes: readonly NodeProcess[];
  readonly adminKey: string;
  readonly directory: string;
  stop(): Promise<void>;
  /** Kills all nodes immediately. */
  kill(): void;
}

export interface ApplianceOptions {
  readonly binary: string;
  /** The directory for data and keys; by default a temporary one. */
  readonly directory: string | undefined;
  /** A broker instead of the embedded one. It must accept clients without a login. */
  readonly broker: string | undefined;
  /** The trace collector. */
  readonly collectorUrl: string;
}

/** Much shorter than the default, so that changes are visible soon. */
export const fallbackRefreshMs = 5000;

const names = ["primary", "edge-a", "edge-b", "fallback"] as const;
type Name = (typeof names)[number];

/** The values that must be the same when the data are used again. */
interface Identity {
  readonly adminKey: string;
  readonly nodeKey: string;
  readonly ports: Readonly<Record<Name, number>>;
}

/** Returns the processes before their start. */
export async function describeAppliance(options: ApplianceOptions): Promise<Appliance> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "ostiary-"));
  const { adminKey, nodeKey, ports } = await identityOf(directory);
  const common = {
    OSTIARY_NODE_KEY: nodeKey,
    OTEL_EXPORTER_OTLP_ENDPOINT: options.collectorUrl,
    OTEL_BSP_SCHEDULE_DELAY: "100",
    ...(options.broker === undefined ? {} : { OSTIARY_BROKER: options.broker }),
  };
  const follow = { ...common, OSTIARY_PRIMARY: `http://127.0.0.1:${ports.primary}` };
  const node = (name: Name, role: "primary" | "edge" | "fallback", environment: Readonly<Record<string, string>>) =>
    new NodeProcess({
      binary: options.binary,
      name,
      role,
      port: ports[name],
      directory: join(directory, name),
      environment,
    });

  // Edges connect to the embedded broker over WebSocket on the primary's port, so that it needs no port of its own.
  const primary = node("primary", "primary", { ...common, OSTIARY_ADMIN_KEY: adminKey, OSTIARY_MQTT_PORT: "0" });
  const edges = [node("edge-a", "edge", follow), node("edge-b", "edge", follow)] as const;
  const fallback = node("fallback", "fallback", { ...follow, OSTIARY_REFRESH: `${fallbackRefreshMs}ms` });
  const nodes = [primary, ...edges, fallback];
  const removeTemporary = (): void => {
    if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
  };
  return {
    primary,
    edges,
    fallback,
    nodes,
    adminKey,
    directory,
    async stop() {
      // The replicas first, so that they log no errors about a missing primary.
      await Promise.all([...edges, fallback].map((node) => node.stop()));
      await primary.stop();
      removeTemporary();
    },
    kill() {
      for (const process of nodes) void process.kill();
      removeTemporary();
    },
  };
}

async function identityOf(directory: string): Promise<Identity> {
  const path = join(directory, "appliance.json");
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8")) as Identity;
  const identity = {
    adminKey: newAdminKey(),
    nodeKey: randomHex(32),
    ports: {
      primary: await freePort(),
      "edge-a": await freePort(),
      "edge-b": await freePort(),
      fallback: await freePort(),
    },
  };
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, `${JSON.stringify(identity, null, 2)}\n`, { mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`\`${directory}\` can't be used (${code}): name a directory that may be written with --data`, {
      cause: error,
    });
  }
  return identity;
}
