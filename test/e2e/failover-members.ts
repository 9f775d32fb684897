/**
 * Three nodes of the built binary that can be the primary, with a lease in a real etcd. At least one edge has each
 * acknowledged write.
 */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "./cluster.ts";
import { Etcd } from "./etcd.ts";

const names = ["node-a", "node-b", "node-c"] as const;
/** On a machine that does much else. How long a failover takes is measured in simulated time. */
const patienceMs = 40_000;
/** The default duration of the lease. */
export const defaultTtlMs = 6000;
export const policy = 'actor User {} resource Repo { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }';

export interface Members {
  readonly nodes: readonly NodeProcess[];
  readonly etcd: Etcd;
  readonly adminKey: string;
  /** Each node has a subdirectory with its name. */
  readonly directory: string;
  /** The present primary. */
  primary(): Promise<NodeProcess>;
  /** Writes one fact through a node. */
  send(node: NodeProcess, name: string): Promise<Response>;
  /** The same. Returns the status; 0 without a response. */
  write(node: NodeProcess, name: string): Promise<number>;
}

interface MemberOptions {
  /** A node without the setting `failover`. */
  readonly unleased?: string;
  readonly ttlMs?: number;
}

export async function withMembers(
  scenario: (members: Members) => Promise<void>,
  { unleased, ttlMs = defaultTtlMs }: MemberOptions = {},
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-failover-"));
  const etcd = await Etcd.start(join(directory, "etcd"));
  const [binary, adminKey, nodeKey] = [await builtBinary(), newAdminKey(), randomHex(32)];
  const ports = [await freePort(), await freePort(), await freePort()];
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const nodes = names.map((name, index) => {
    const others = urls.filter((_, other) => other !== index);
    const environment = {
      OSTIARY_ADMIN_KEY: adminKey,
      OSTIARY_NODE_KEY: nodeKey,
      OSTIARY_MQTT_PORT: "0",
      OSTIARY_ACK: "edges:1",
      OSTIARY_FAILOVER_TTL: `${ttlMs}ms`,
      ...(name === unleased ? {} : { OSTIARY_FAILOVER: etcd.url("ostiary") }),
      OSTIARY_PEERS: others.join(","),
      ...(index === 0 ? {} : { OSTIARY_PRIMARY: must(urls[0]) }),
    };
    const role = index === 0 ? "primary" : "edge";
    return new NodeProcess({
      binary,
      name,
      role,
      port: must(ports[index]),
      directory: join(directory, name),
      environment,
    });
  });
  const members: Members = {
    nodes,
    etcd,
    adminKey,
    directory,
    async primary() {
      let found: NodeProcess | undefined;
      await eventually(
        async () => {
          const healths = await Promise.all(nodes.map(async (node) => ({ node, health: await node.health() })));
          const primaries = healths.filter(({ health }) => health?.state === "PRIMARY");
          found = primaries[0]?.node;
          return primaries.length === 1;
        },
        "one node is the primary",
        patienceMs,
      );
      return must(found);
    },
    async send(node, name) {
      const body = JSON.stringify([{ inserts: [relation(name)] }]);
      const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
      return fetch(`${node.url}/api/batch`, { method: "POST", headers, body, signal: AbortSignal.timeout(8000) });
    },
    async write(node, name) {
      return this.send(node, name).then(
        ({ status }) => status,
        () => 0,
      );
    },
  };
  try {
    for (const node of nodes) node.launch();
    await members.primary();
    await Promise.all(nodes.map((node) => node.ready()));
    await new Oso(must(nodes[1]).url, adminKey).policy(policy);
    await scenario(members);
  } catch (error) {
    const outputs = nodes.map(({ name, output }) => `--- ${name}\n${output.slice(-6000)}`);
    throw new Error([String(error instanceof Error ? error.stack : error), ...outputs].join("\n"), { cause: error });
  } finally {
    await Promise.all([...nodes.map((node) => node.kill()), etcd.stop()]);
    rmSync(directory, { recursive: true, force: true });
  }
}

export function relation(name: string) {
  const args = [
    { type: "User", id: "ann" },
    { type: "String", id: "reader" },
    { type: "Repo", id: name },
  ];
  return { predicate: "has_role", args };
}

/** The users of these that a node has. */
export async function held({ adminKey }: Members, node: NodeProcess): Promise<Set<string>> {
  const headers = { Authorization: `Bearer ${adminKey}`, "Ostiary-Consistency": "latest" };
  const answer = await fetch(`${node.url}/api/facts?predicate=has_role`, { headers });
  expect(answer.status).toBe(200);
  const facts = (await answer.json()) as readonly { readonly args: readonly { readonly id: string }[] }[];
  return new Set(facts.flatMap(({ args }) => args[2]?.id ?? []));
}

/** Writes until one write is acknowledged. */
export function untilWritable(members: Members, node: NodeProcess, name: string): Promise<void> {
  return eventually(async () => (await members.write(node, name)) === 200, "a write is acknowledged again", patienceMs);
}
