/** Who a node is and which secrets it knows: its id, the node key, and on a primary the first API key. */
import { randomBytes } from "node:crypto";
import type { Config } from "../config/config.ts";
import { readNote, writeNote } from "../store/data-directory.ts";
import { hashKey, mintApiKey, mintNodeKey, parseApiKey, verifyKey } from "../store/keys.ts";
import { AppError } from "../util/app-error.ts";
import type { Writer } from "./writer.ts";

/** The configured id, or one that was made at the first start and kept with the data. */
export function nodeIdOf(config: Config): string {
  if (config.nodeId !== undefined) return config.nodeId;
  const known = readNote(config.data, "node-id");
  if (known !== undefined) return known;
  const made = `${config.role}-${randomBytes(4).toString("hex")}`;
  writeNote(config.data, "node-id", made);
  return made;
}

/** Keys that were made just now. They are shown once; only their hashes are kept. */
export interface MintedKeys {
  readonly adminKey: string | undefined;
  readonly nodeKey: string | undefined;
}

export interface Secrets {
  readonly minted: MintedKeys;
  readonly verifyNodeKey: (key: string) => boolean;
}

/** Makes a primary's keys where it has none, and takes over those that are configured. */
export async function settleSecrets(config: Config, writer: Writer): Promise<Secrets> {
  const nodeKey = await settleNodeKey(config, writer);
  const adminKey = await settleAdminKey(config, writer);
  return { minted: { adminKey, nodeKey: nodeKey.minted }, verifyNodeKey: (key) => verifyKey(key, nodeKey.hash) };
}

async function settleNodeKey(
  config: Config,
  writer: Writer,
): Promise<{ readonly hash: string; readonly minted: string | undefined }> {
  const known = config.nodeKey === undefined ? await writer.readSetting("node_key_hash") : hashKey(config.nodeKey);
  if (known !== undefined) return { hash: known, minted: undefined };
  const minted = mintNodeKey(config.environment);
  const hash = hashKey(minted);
  await writer.writeSetting("node_key_hash", hash);
  return { hash, minted };
}

/** The configured key is made to be accepted at each start; without one, the very first start makes one. */
async function settleAdminKey(config: Config, writer: Writer): Promise<string | undefined> {
  const { adminKey, environment } = config;
  if (adminKey === undefined && writer.state.offset > 0) return undefined;
  const minted = adminKey === undefined ? mintApiKey(environment) : undefined;
  const text = adminKey ?? minted?.text ?? "";
  const id = parseApiKey(text)?.id;
  if (id === undefined)
    throw new AppError("invalid_request", "the admin key has not the form `e_<environment>_<key id>_<secret>`");
  const key = { id, name: "admin", role: "admin", hash: hashKey(text), timeMs: Date.now() } as const;
  await writer.write({ kind: "keys", add: [key], remove: [] }, { traceparent: null });
  return minted?.text;
}
