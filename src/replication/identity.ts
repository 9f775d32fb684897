/** Who a node is and which secrets it knows: its id, the node key, and on a primary the first API key. */
import { randomBytes } from "node:crypto";
import type { Config } from "../config/config.ts";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import { hashKey, mintApiKey, mintNodeKey, parseApiKey } from "../store/keys/api-keys.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import type { Clock } from "../util/clock.ts";
import type { Writer } from "./log/writer.ts";

const log = getLogger("primary");

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

/** Shows keys to the operator, before they are stored: otherwise a start that fails or dies in between would leave a key that nobody knows. */
export type AnnounceKeys = (minted: MintedKeys) => Promise<void>;

/** Keys that were made just now. They are shown once; only their hashes are kept. */
export interface MintedKeys {
  readonly adminKey: string | undefined;
  readonly nodeKey: string | undefined;
}

/** A primary's. */
export interface PrimarySecrets {
  /** SHA-256 of the node key. */
  readonly nodeKeyHash: string;
  /** The API key that is to be accepted (`acceptAdminKey`). */
  readonly adminKey: string | undefined;
}

/** Makes a primary's keys where it has none. Those that are configured come first. */
export async function ensureSecrets(config: Config, writer: Writer, announce: AnnounceKeys): Promise<PrimarySecrets> {
  const { environment } = config;
  const knownHash = config.nodeKey === undefined ? await writer.readSetting("node_key_hash") : hashKey(config.nodeKey);
  const nodeKey = knownHash === undefined ? mintNodeKey(environment) : undefined;
  const adminKey =
    config.adminKey === undefined && writer.state.offset === 0 ? mintApiKey(environment).text : undefined;
  if (nodeKey !== undefined || adminKey !== undefined) await announce({ adminKey, nodeKey });

  const nodeKeyHash = knownHash ?? hashKey(must(nodeKey));
  if (nodeKey !== undefined) await writer.writeSetting("node_key_hash", nodeKeyHash);
  return { nodeKeyHash, adminKey: config.adminKey ?? adminKey };
}

/** Nothing is written where the key is accepted already. */
export async function acceptAdminKey(text: string, writer: Writer, clock: Clock): Promise<void> {
  const id = parseApiKey(text)?.id;
  if (id === undefined)
    throw new AppError("invalid_request", "the admin key has not the form `e_<environment>_<key id>_<secret>`");
  const key = { id, name: "admin", role: "admin", hash: hashKey(text), timeMs: clock.wallMs() } as const;
  await writer.write({ kind: "keys", add: [key], remove: [] }, { traceparent: null });
}

const retryMs = 1000;

/** Where the disk does not take the key now: tries again each second while `mayWrite`, until it does or `started` is disposed of. */
export function acceptAdminKeyLater(
  text: string,
  writer: Writer,
  mayWrite: () => boolean,
  started: AsyncDisposableStack,
  clock: Clock,
): void {
  log.warning("the admin key of the configuration can't be stored now, and is accepted once the disk takes it");
  const cancel = clock.every(retryMs, () => {
    if (mayWrite()) acceptAdminKey(text, writer, clock).then(cancel, () => {});
  });
  started.defer(cancel);
}
