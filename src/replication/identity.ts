/** The identity of a node: its id, and the hash of its node key. */
import { randomBytes } from "node:crypto";
import type { Config } from "../config/config.ts";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import { hashKey } from "../store/keys/api-keys.ts";

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

/** The SHA-256 of the configured node key. Every node except a primary has one. */
export function nodeKeyHashOf({ nodeKey }: Pick<Config, "nodeKey">): string | undefined {
  return nodeKey === undefined ? undefined : hashKey(nodeKey);
}
