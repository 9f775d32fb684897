/** The identity of a node: its id, and its node keys. */
import { randomBytes } from "node:crypto";
import type { Config } from "../config/config.ts";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import { hashKey } from "../store/keys/api-keys.ts";
import { matchingIndex, nodeKeyHashesIn, type NodeKeyHashes } from "../store/keys/node-keys.ts";
import { metrics } from "../telemetry/metrics.ts";

/** The configured id, or the one that was made at the first start and stored with the data. */
export function nodeIdOf(config: Config): string {
  if (config.nodeId !== undefined) return config.nodeId;
  const stored = readNodeFile(config.data, "node-id");
  if (stored !== undefined) return stored;
  const id = `${config.role}-${randomBytes(4).toString("hex")}`;
  writeNodeFile(config.data, "node-id", id);
  return id;
}

/**
 * The id under which a node takes part in a hosted environment. No other node or environment can have the same one,
 * since `@` is not part of either name.
 */
export function hostedNodeId(nodeId: string, environment: string): string {
  return `${nodeId}@${environment}`;
}

/** The reverse of `hostedNodeId`: no environment means the default one. Undefined if this cannot be a node's id. */
export function parseNodeId(id: string): { readonly node: string; readonly environment?: string } | undefined {
  const { node, environment } = nodeIdPattern.exec(id)?.groups ?? {};
  if (node === undefined) return undefined;
  return environment === undefined ? { node } : { node, environment };
}

/** Node ids are part of topics, where `/`, `+` and `#` have a meaning. */
const nodeIdPattern = /^(?<node>[A-Za-z0-9._-]{1,64})(?:@(?<environment>[A-Za-z0-9-]{1,64}))?$/;

/** The SHA-256 of the configured node keys. Every node except a primary has one. */
export function nodeKeyHashesOf({ nodeKey }: Pick<Config, "nodeKey">): NodeKeyHashes | undefined {
  return nodeKey === undefined ? undefined : nodeKeyHashesIn(nodeKey);
}

/** Where the second node key was used: a node that has only that one would be refused without it. */
export type NodeKeyUse = "request" | "login" | "message" | "sent";

export function countSecondNodeKey(use: NodeKeyUse): void {
  metrics.nodeKeyPreviousUses.inc({ use });
}

/** Returns a function that tells whether a text is one of the node keys, in constant time. */
export function nodeKeyVerifier(hashes: NodeKeyHashes, use: NodeKeyUse): (key: string) => boolean {
  const accepted = hashes.map((hash) => Buffer.from(hash, "hex"));
  return (key) => isAccepted(Buffer.from(hashKey(key), "hex"), accepted, use);
}

/** Whether `given` is one of the values that were made with the node keys, in their order. Counts uses of the second. */
export function isAccepted(given: Uint8Array, accepted: readonly Uint8Array[], use: NodeKeyUse): boolean {
  const index = matchingIndex(given, accepted);
  if (index !== undefined && index > 0) countSecondNodeKey(use);
  return index !== undefined;
}
