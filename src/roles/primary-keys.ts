/** The keys of a primary: at its first start it makes a node key and an admin key where none are configured. */
import type { Config } from "../config/config.ts";
import type { Writer } from "../replication/log/writer.ts";
import type { Connection } from "../store/connection/connection.ts";
import { findSecrets, hashKey, mintApiKey, mintNodeKey, parseApiKey, secretIn } from "../store/keys/api-keys.ts";
import { wasReplaced } from "../store/keys/key-grant.ts";
import { operator, type AuditDraft } from "../store/log/audit-entry.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import type { Clock } from "../util/clock.ts";

const log = getLogger("primary");

/** Shows new keys before they are stored: a start that fails in between must not leave a key that nobody knows. */
export type AnnounceKeys = (minted: MintedKeys) => Promise<void>;

/** Keys that were made by this start. They are shown once; only their hashes are stored. */
export interface MintedKeys {
  readonly adminKey: string | undefined;
  readonly nodeKey: string | undefined;
}

export interface PrimarySecrets {
  /** SHA-256 of the node key. */
  readonly nodeKeyHash: string;
  /** The admin key to store with `acceptAdminKey`. */
  readonly adminKey: string | undefined;
}

/**
 * Returns the keys of a primary. Configured keys have precedence; missing ones are made. `nodeKeyHash` is that of the
 * node's default environment, if this is another one.
 */
export async function ensureSecrets(
  config: Config,
  writer: Writer,
  store: Connection,
  { announce, nodeKeyHash: given }: { readonly announce: AnnounceKeys; readonly nodeKeyHash: string | undefined },
): Promise<PrimarySecrets> {
  const { environment } = config;
  const configuredHash = config.nodeKey === undefined ? given : hashKey(config.nodeKey);
  const knownHash = configuredHash ?? (await writer.readSetting("node_key_hash"));
  const nodeKey = knownHash === undefined ? mintNodeKey(environment) : undefined;
  const adminKey =
    config.adminKey === undefined && writer.state.offset === 0 ? mintApiKey(environment).text : undefined;
  if (nodeKey !== undefined || adminKey !== undefined) await announce({ adminKey, nodeKey });

  const nodeKeyHash = knownHash ?? hashKey(must(nodeKey));
  if (nodeKey !== undefined) await writer.writeSetting("node_key_hash", nodeKeyHash);
  return { nodeKeyHash, adminKey: adminKey ?? configuredAdminKey(config, store) };
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
export async function acceptAdminKey(text: string, writer: Writer, node: string | null, clock: Clock): Promise<void> {
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
  text: string,
  writer: Writer,
  node: string,
  mayWrite: () => boolean,
  started: AsyncDisposableStack,
  clock: Clock,
): void {
  log.warning("the admin key of the configuration cannot be stored now; it is accepted once the disk accepts writes");
  const cancel = clock.every(retryMs, () => {
    if (mayWrite()) acceptAdminKey(text, writer, node, clock).then(cancel, () => {});
  });
  started.defer(cancel);
}
