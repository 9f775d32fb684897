/** The state of all nodes after the faults. */
import * as Bun from "bun";
import { healthAt } from "../../scripts/node-process.ts";
import { frontOf, type NodeName } from "../chaos/cluster-plan.ts";
import type { Epoch, History, Versions } from "./history.ts";
import type { ChaosCluster } from "../chaos/chaos-cluster.ts";
import { versionsIn } from "../chaos/readers.ts";

/** Whether all nodes reach the same position with the same digest. A fallback follows on its timer. */
export async function waitUntilEqual(cluster: ChaosCluster, withinMs: number): Promise<boolean> {
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; await Bun.sleep(100)) {
    const positions = await Promise.all(
      cluster.nodes.map(async (name) => {
        const health = await healthAt(cluster.urlOf(name)).catch(() => undefined);
        return health?.digest ? `${health.epoch}:${health.offset}:${health.digest}` : name;
      }),
    );
    if (new Set(positions).size === 1) return true;
  }
  return false;
}

export async function readFinalState(cluster: ChaosCluster): Promise<Pick<History, "ends" | "epochs">> {
  const ends = await Promise.all(cluster.nodes.map(async (node) => ({ node, versions: await heldBy(cluster, node) })));
  return { ends, epochs: await epochsOf(cluster) };
}

/** Reads all registers of a node from the node itself. */
async function heldBy(cluster: ChaosCluster, node: NodeName): Promise<Versions> {
  const response = await fetch(`${cluster.urlOf(node)}/api/facts?predicate=has_role`, {
    headers: { Authorization: `Bearer ${cluster.adminKey}` },
  });
  if (!response.ok) throw new Error(`${node} does not tell what it holds: ${response.status} ${await response.text()}`);
  const facts = (await response.json()) as { readonly args: readonly { readonly id: string }[] }[];
  return versionsIn(facts.map(({ args }) => ["has_role", ...args]));
}

/** Any node knows them, since all have the same history. */
async function epochsOf(cluster: ChaosCluster): Promise<readonly Epoch[]> {
  const [name] = frontOf(cluster.plan);
  if (name === undefined) return [];
  const response = await fetch(`${cluster.urlOf(name)}/replication/v1/head`, {
    headers: { Authorization: `Bearer ${cluster.nodeKey}` },
  });
  if (!response.ok) throw new Error(`${name} does not tell its epochs: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { readonly epochs: readonly Epoch[] }).epochs;
}
