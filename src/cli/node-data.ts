/** The node key, for commands that write or verify files with a MAC, and the database in a data directory. */
import { statSync } from "node:fs";
import { userInfo } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { Option, type Command } from "commander";
import { currentStorePath, environmentsName } from "../store/directory/data-directory.ts";
import { nodeKeyHashesOf } from "../replication/identity.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import type { Authenticity } from "../store/snapshot/snapshot-mac.ts";
import { UsageError } from "./command.ts";
import { nodeConfig, type NodeOptions } from "./setting-options.ts";

export function withNodeKey(command: Command): Command {
  return command
    .option(
      "--node-key <secret>",
      "The node key, for the MAC of the file, or two with a space between them [OSTIARY_NODE_KEY]",
    )
    .option("--config <file>", "The configuration file of the node, which can contain the node key [OSTIARY_CONFIG]");
}

export function withUnauthenticated(command: Command): Command {
  return command.addOption(
    new Option(
      "--allow-unauthenticated",
      "Accept a file without a MAC, or one whose MAC cannot be verified because the node key is not given. Use it only if you know the origin of the file. A file with a wrong MAC is always refused",
    ),
  );
}

/** Undefined if no node key is given. */
export async function nodeKeyHashesFrom({
  nodeKey,
  config,
}: Pick<NodeOptions, "nodeKey" | "config">): Promise<NodeKeyHashes | undefined> {
  return nodeKeyHashesOf(await nodeConfig({ nodeKey, config }));
}

export const authenticityTexts: Readonly<Record<Authenticity, string>> = {
  verified: "authenticated, its MAC was verified with the node key",
  absent: "not authenticated, it has no MAC",
  unchecked: "not authenticated, it has a MAC, but no node key is given to verify it",
};

/** `nodeKey` is the id of the node key of the MAC, which the file names. */
export function originText(authenticity: Authenticity, nodeKey: string | undefined): string {
  return `${authenticityTexts[authenticity]}${nodeKey === undefined ? "" : ` (key ${nodeKey})`}`;
}

/** The data directory of the node that a directory belongs to: that of an environment is below it. */
export function nodeDirectoryOf(data: string): string {
  const above = dirname(resolve(data));
  return basename(above) === environmentsName ? dirname(above) : data;
}

/** The path of the database. Undefined if there is none, or if the path is a file. */
export function storeIn(data: string): string | undefined {
  return statSync(data, { throwIfNoEntry: false })?.isDirectory() ? currentStorePath(data) : undefined;
}

export function requireStoreIn(data: string): string {
  const path = storeIn(data);
  if (path !== undefined) return path;
  throw new UsageError(
    `\`${data}\` is not the data directory of a node: it contains no database; name one with \`--data\``,
  );
}

/** Null if the system has no name for the user, as in some containers. */
export function userName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}
