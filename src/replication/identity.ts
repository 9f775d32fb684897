/** The identity of a node: its id, and the hash of its node key. */
import { randomBytes } from "node:crypto";
import type { Config } from "../config/config.ts";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import { hashKey } from "../store/keys/api-keys.ts";

/** The configured id, or one that was made at the first start and kept with the data. */
export function nodeIdOf(config: Config): string {
  if (config.nodeId !== undefined) return config.nodeId;
  const known = readNodeFile(config.data, "node-id");
  if (known !== undefined) return known;
  const made = `${config.role}-${randomBytes(4).toString("hex")}`;
  writeNodeFile(config.data, "node-id", made);
  return made;
}

/** SHA-256 of the node key that is configured, as others keep it. Every node but a primary has one. */
export function nodeKeyHashOf({ nodeKey }: Pick<Config, "nodeKey">): string | undefined {
  return nodeKey === undefined ? undefined : hashKey(nodeKey);
}
