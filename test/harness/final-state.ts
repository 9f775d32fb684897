/** The state of all nodes after the faults. */
import * as Bun from "bun";
import { healthAt } from "../../scripts/node-process.ts";
import type { Epoch, History, Versions } from "./history.ts";

/** The addresses of all nodes, by name. */
export type NodeUrls = Readonly<Record<string, string>>;

export interface ClusterKeys {
  readonly adminKey: string;
  readonly nodeKey: string;
}

/** Whether all nodes reach the same position with the same digest. A fallback follows on its timer. */
export async function waitUntilEqual(urls: NodeUrls, withinMs: number): Promise<boolean> {
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; await Bun.sleep(100)) {
    const positions = await Promise.all(
      Object.entries(urls).map(async ([name, url]) => {
        const health = await healthAt(url).catch(() => undefined);
        return health?.digest ? `${health.epoch}:${health.offset}:${health.digest}` : name;
      }),
    );
    if (new Set(positions).size === 1) return true;
  }
  return false;
}

/** `first` is the node that tells the epochs. Any node knows them, since all have the same history. */
export async function readFinalState(
  urls: NodeUrls,
  first: string,
  { adminKey, nodeKey }: ClusterKeys,
): Promise<Pick<History, "ends" | "epochs">> {
  const reads = Object.entries(urls).map(async ([node, url]) => ({ node, versions: await heldBy(url, adminKey) }));
  const head = (await get(`${urls[first]}/replication/v1/head`, nodeKey)) as { readonly epochs: readonly Epoch[] };
  return { ends: await Promise.all(reads), epochs: head.epochs };
}

/** Reads all registers of a node from the node itself. */
async function heldBy(url: string, adminKey: string): Promise<Versions> {
  const query = new URLSearchParams({ predicate: "has_role", "args.2.type": "Register" });
  const facts = (await get(`${url}/api/facts?${query}`, adminKey)) as {
    readonly args: readonly { readonly id: string }[];
  }[];
  return versionsIn(facts.map(({ args }) => ["has_role", ...args]));
}

async function get(url: string, key: string): Promise<unknown> {
  const response = await fetch(url, {
    headers: { Authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(30_000),
  });
  if (!response.ok) throw new Error(`${url} was answered with ${response.status}: ${await response.text()}`);
  return response.json();
}

/** By register, the versions in facts. */
export function versionsIn(facts: readonly (readonly unknown[])[]): Versions {
  const versions = new Map<string, number[]>();
  for (const [, user, , register] of facts as readonly (readonly { readonly id: string }[])[]) {
    if (user === undefined || register === undefined) continue;
    versions.set(register.id, [...(versions.get(register.id) ?? []), Number(user.id)]);
  }
  return versions;
}
