/** Three nodes that can replace each other: a primary and two edges that can be promoted. */
import { expect } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { adminKey, eventually, loadPolicy, post, type Cluster } from "./cluster.ts";

/** Limits with which nodes notice soon that another one is gone. */
export const quick = {
  "advanced.peerCheckIntervalMs": "200ms",
  "advanced.headIntervalMs": "100ms",
  "advanced.brokerSilenceMsMax": "500ms",
  "advanced.pollIntervalMs": "200ms",
};

interface NodePosition {
  readonly role: string;
  readonly state: string;
  readonly epoch: string;
  readonly term: number;
  readonly offset: number;
  readonly digest: string;
  readonly unreplicated_events?: number;
}

export async function positionAt(url: string): Promise<NodePosition> {
  return (await (await fetch(`${url}/healthcheck`)).json()) as NodePosition;
}

export async function writeTo(url: string, ...facts: Fact[]): Promise<Response> {
  return post(url, "/api/batch", [{ inserts: facts }]);
}

export async function mayReadAt(url: string, user: string, headers: Record<string, string> = {}): Promise<Response> {
  const body = { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" };
  return fetch(`${url}/api/authorize`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** A primary that does not listen any more but was not stopped would be best; in one process it has to be stopped. */
export async function threeNodes(cluster: Cluster, flags: Record<string, string> = {}) {
  const [portA, portB, portC] = [await freePort(), await freePort(), await freePort()].map(String);
  const urls = [portA, portB, portC].map((port) => `http://127.0.0.1:${port}`);
  const [urlA = "", urlB = "", urlC = ""] = urls;
  const primary = await cluster.primary({ port: portA ?? "", peers: `${urlB},${urlC}`, ...quick, ...flags });
  const follow = { primary: urlA, ...quick, ...flags };
  const b = await cluster.promotable("edge-b", { ...follow, port: portB ?? "", peers: urlC });
  const c = await cluster.promotable("edge-c", { ...follow, port: portC ?? "", peers: urlB });
  await loadPolicy(primary.node);
  await eventually(async () => {
    for (const { url } of [b, c]) expect(await positionAt(url)).toMatchObject({ offset: primary.node.health().offset });
  });
  return { primary, b, c, portA: portA ?? "", urls };
}

/** The node to which this one has promised its vote. */
export async function votedFor(url: string): Promise<unknown> {
  return ((await (await fetch(`${url}/healthcheck`)).json()) as { pledged_to?: string }).pledged_to;
}
