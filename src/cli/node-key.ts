/** The node key, for commands that write or verify files with a MAC. */
import { Option, type Command } from "commander";
import { hashKey } from "../store/keys/api-keys.ts";
import type { Authenticity } from "../store/snapshot/snapshot-mac.ts";
import { configFile } from "./config-file.ts";
import { checkedConfig } from "./setting-options.ts";

export interface NodeKeyOptions {
  readonly nodeKey?: string;
  readonly config?: string;
}

export function withNodeKey(command: Command): Command {
  return command
    .option("--node-key <secret>", "The node key, for the MAC of the file [OSTIARY_NODE_KEY]")
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
export async function nodeKeyHashFrom({ nodeKey, config }: NodeKeyOptions): Promise<string | undefined> {
  const flags = { role: "primary", ...(nodeKey === undefined ? {} : { nodeKey }) };
  const file = await configFile(config, process.env);
  const key = checkedConfig({ flags, environment: process.env, file }).nodeKey;
  return key === undefined ? undefined : hashKey(key);
}

export const authenticityTexts: Readonly<Record<Authenticity, string>> = {
  verified: "authenticated, its MAC was verified with the node key",
  absent: "not authenticated, it has no MAC",
  unchecked: "not authenticated, it has a MAC, but no node key is given to verify it",
};
