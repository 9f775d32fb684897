/** The node key, as the commands take it that make or check files with a MAC. */
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
    .option("--node-key <secret>", "The key that nodes show each other, for the file's MAC [OSTIARY_NODE_KEY]")
    .option("--config <file>", "The file that the node is started with, which may name it [OSTIARY_CONFIG]");
}

export function withUnauthenticated(command: Command): Command {
  return command.addOption(
    new Option(
      "--allow-unauthenticated",
      "Also a file that has no MAC, or whose MAC can't be verified for want of the node key: only if you know where it comes from. One whose MAC is wrong is always refused",
    ),
  );
}

/** Undefined where none is given. */
export async function nodeKeyHashFrom({ nodeKey, config }: NodeKeyOptions): Promise<string | undefined> {
  const flags = { role: "primary", ...(nodeKey === undefined ? {} : { nodeKey }) };
  const file = await configFile(config, process.env);
  const key = checkedConfig({ flags, environment: process.env, file }).nodeKey;
  return key === undefined ? undefined : hashKey(key);
}

export const authenticityTexts: Readonly<Record<Authenticity, string>> = {
  verified: "authenticated, its MAC was verified with the node key",
  absent: "not authenticated, it has no MAC",
  unchecked: "not authenticated, it has a MAC, but no node key is given to verify it with",
};
