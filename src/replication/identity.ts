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

/** The SHA-256 of the configured node key. Every node except a primary has one. */
export function nodeKeyHashOf({ nodeKey }: Pick<Config, "nodeKey">): string | undefined {
  return nodeKey === undefined ? undefined : hashKey(nodeKey);
}
