/** The keys of a primary: at its first start it makes a node key and an admin key where none are configured. */
import type { Config } from "../config/config.ts";
import type { Writer } from "../log/writer/writer.ts";
import type { Connection } from "../store/connection/connection.ts";
import { nodeKeyHashesOf } from "../replication/identity.ts";
import { findSecrets, hashKey, mintApiKey, mintNodeKey, parseApiKey, secretIn } from "../store/keys/api-keys.ts";
import { wasReplaced } from "../store/keys/key-grant.ts";
import { nodeKeyHashesIn, type NodeKeyHashes } from "../store/keys/node-keys.ts";
import { operator, type AuditDraft } from "../store/log/audit-entry.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { reasonOf } from "../util/reason.ts";
import type { NodeParts } from "./node-parts.ts";

const log = getLogger("primary");

/** Shows new keys before they are stored: a start that fails in between must not leave a key that nobody knows. */
export type AnnounceKeys = (minted: MintedKeys) => Promise<void>;

/** Keys that were made by this start. They are shown once; only their hashes are stored. */
export interface MintedKeys {
  readonly adminKey: string | undefined;
  readonly nodeKey: string | undefined;
}

export interface PrimarySecrets {
  /** SHA-256 of the node keys. */
  readonly nodeKeyHashes: NodeKeyHashes;
  /** The admin key to store with `acceptAdminKey`. */
  readonly adminKey: string | undefined;
}

/**
 * Returns the keys of a primary. Configured keys have precedence; missing ones are made. `nodeKeyHashes` are those of
 * the node's default environment, if this is another one.
 */
export async function ensureSecrets(
  config: Config,
  writer: Writer,
  store: Connection,
  {
    announce,
    nodeKeyHashes: given,
  }: { readonly announce: AnnounceKeys; readonly nodeKeyHashes: NodeKeyHashes | undefined },
): Promise<PrimarySecrets> {
  const { environment } = config;
  const configured = nodeKeyHashesOf(config) ?? given;
  const stored = await writer.readSetting("node_key_hash");
  const known = configured ?? (stored === undefined ? undefined : ([stored] as const));
  const nodeKey = known === undefined ? mintNodeKey(environment) : undefined;
  const adminKey =
    config.adminKey === undefined && writer.state.offset === 0 ? mintApiKey(environment).text : undefined;
  if (nodeKey !== undefined || adminKey !== undefined) await announce({ adminKey, nodeKey });

  const nodeKeyHashes = known ?? nodeKeyHashesIn(must(nodeKey));
  if (nodeKey !== undefined) await writer.writeSetting("node_key_hash", nodeKeyHashes[0]);
  else if (stored !== undefined && stored !== nodeKeyHashes[0]) await replaceStored(writer, nodeKeyHashes[0]);
  return { nodeKeyHashes, adminKey: adminKey ?? configuredAdminKey(config, store) };
}

/** The made key was replaced by a configured one: without this it would be valid again once that is not configured. */
async function replaceStored(writer: Writer, nodeKeyHash: string): Promise<void> {
  try {
    await writer.writeSetting("node_key_hash", nodeKeyHash);
  } catch (error) {
    // A node with a full disk starts as well, and tries again at its next start.
    log.warning("the hash of the configured node key cannot be stored in place of the old one: {reason}", {
      reason: reasonOf(error),
    });
  }
}

/** Undefined if its secret was replaced, or the store has it with an expiry: a start must not lift that. */
function configuredAdminKey({ adminKey }: Config, store: Connection): string | undefined {
  if (adminKey === undefined) return undefined;
  const id = parseApiKey(adminKey)?.id ?? "";
  const [secrets, hash] = [findSecrets(store, id), hashKey(adminKey)];
  if (wasReplaced(secrets, hash)) {
    log.warning(
      "`adminKey` in the configuration has a secret of {id} that `ostiary keys rotate` replaced: put the new one there",
      { id },
    );
    return undefined;
  }
  return secretIn(secrets, hash)?.expiresMs === undefined ? adminKey : undefined;
}

/** Stores the admin key, unless it is stored already. */
export async function acceptAdminKey({ writer, clock }: NodeParts, text: string, node: string | null): Promise<void> {
  const id = parseApiKey(text)?.id;
  if (id === undefined)
    throw new AppError("invalid_request", "the admin key does not have the form `e_<environment>_<key id>_<secret>`");
  const key = { id, name: "admin", role: "admin", hash: hashKey(text), timeMs: clock.wallMs() } as const;
  const details = { name: key.name, role: key.role };
  const draft: AuditDraft = { actor: operator(), action: "key.create", target: id, details };
  await writer.write({ kind: "keys", add: [key], remove: [] }, { traceparent: null, audit: { draft, node } });
}

const retryMs = 1000;

/** Retries each second while `mayWrite`, until the disk accepts the key or `started` is disposed. */
export function acceptAdminKeyLater(
  parts: NodeParts,
  text: string,
  mayWrite: () => boolean,
  started: AsyncDisposableStack,
): void {
  log.warning("the admin key of the configuration cannot be stored now; it is accepted once the disk accepts writes");
  const cancel = parts.clock.every(retryMs, () => {
    if (mayWrite()) acceptAdminKey(parts, text, parts.id).then(cancel, () => {});
  });
  started.defer(cancel);
}

/** What a first start prints. */
export function mintedKeysText({ adminKey, nodeKey }: MintedKeys): string {
  const rule = "-".repeat(78);
  const lines = [
    rule,
    "Keys were made at this first start. They are shown this once: keep them.",
    ...(adminKey === undefined ? [] : [`  admin key (clients): ${adminKey}`]),
    ...(nodeKey === undefined ? [] : [`  node key (edges, fallbacks): ${nodeKey}`]),
    rule,
  ];
  return `${lines.join("\n")}\n`;
}
