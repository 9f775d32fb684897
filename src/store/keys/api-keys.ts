/**
 * API keys of clients (`e_<environment>_<key id>_<secret>`, replicated like facts), and the node key that nodes use
 * among themselves. Only hashes are stored. A secret has at least 128 random bits, so a plain SHA-256 of the whole text
 * is as safe as a slow hash, and takes 1 µs per request.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { and, eq, gte, lt, or } from "drizzle-orm";
import type { Connection } from "../connection/connection.ts";
import { openStore } from "../connection/open-store.ts";
import * as schema from "../connection/schema.ts";
import { type ApiKeyRow, type KeySecret, secretOf } from "./key-grant.ts";

/** SHA-256 of the whole key text, in lower-case hex. */
export function hashKey(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function equalHashes(hash: string, other: string): boolean {
  const [given, expected] = [Buffer.from(hash, "hex"), Buffer.from(other, "hex")];
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** The parts of an API key; undefined if the text does not have the form of one. The environment may contain `_`. */
export function parseApiKey(text: string): { readonly environment: string; readonly id: string } | undefined {
  const match = /^e_([A-Za-z0-9_-]+)_([A-Za-z0-9-]+)_([A-Za-z0-9-]{8,})$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { environment: match[1], id: match[2] };
}

/** A new secret, by default of a new key. `text` is the whole key with its secret: shown once, never stored. */
export function mintApiKey(
  environment: string,
  id = randomBytes(6).toString("hex"),
): { readonly id: string; readonly text: string; readonly hash: string } {
  const text = `e_${environment}_${id}_${randomBytes(24).toString("hex")}`;
  return { id, text, hash: hashKey(text) };
}

export function mintNodeKey(environment: string): string {
  return `n_${environment}_${randomBytes(24).toString("hex")}`;
}

/** The rows of a key: of its secret, and of the one before if it was rotated. */
export function apiKeyRows(database: Connection, id: string): ApiKeyRow[] {
  const rowId = schema.apiKey.id;
  // `|` follows `{`, with which a grant begins.
  const hasGrant = and(gte(rowId, `${id}{`), lt(rowId, `${id}|`));
  return database.orm
    .select()
    .from(schema.apiKey)
    .where(or(eq(rowId, id), hasGrant))
    .all();
}

/** The secrets of a key, the present one first. Empty if there is no such key. */
export function findSecrets(database: Connection, id: string): KeySecret[] {
  return inOrder(apiKeyRows(database, id).flatMap((row) => secretOf(row) ?? []));
}

/** All secrets, by the age of their keys. */
export function allSecrets(database: Connection): KeySecret[] {
  const { apiKey } = schema;
  const rows = database.orm.select().from(apiKey).orderBy(apiKey.timeMs, apiKey.id).all();
  return inOrder(rows.flatMap((row) => secretOf(row) ?? []));
}

function inOrder(secrets: readonly KeySecret[]): KeySecret[] {
  return [
    ...secrets.filter(({ isReplaced }) => isReplaced !== true),
    ...secrets.filter(({ isReplaced }) => isReplaced),
  ];
}

/** The secret of `text` among those of its key. */
export function secretIn(secrets: readonly KeySecret[], hash: string): KeySecret | undefined {
  return secrets.find((secret) => equalHashes(secret.hash, hash));
}

/** Settings of this node, which are never replicated. */
export type NodeSetting =
  | "node_key_hash"
  // Identifies the audit log of this file, whose entries other nodes count.
  | "audit_log"
  // What this node has exchanged: the id of the primary's audit log and a `seq`, of that log or of the own one.
  | "audit_received"
  | "audit_sent"
  // Written to test whether a commit works again after a disk failure. Nothing reads it.
  | "storage_probe";

export function readNodeSetting(database: Connection, key: NodeSetting): string | undefined {
  return database.orm.select().from(schema.node).where(eq(schema.node.key, key)).get()?.value;
}

/** The hash of the node key that the primary of the store at `path` generated; undefined if it was configured. */
export function storedNodeKeyHash(path: string): string | undefined {
  const store = openStore(path, { readonly: true });
  try {
    return readNodeSetting(store, "node_key_hash");
  } finally {
    store.close();
  }
}

export function writeNodeSetting(database: Connection, key: NodeSetting, value: string): void {
  const row = { key, value };
  database.orm.insert(schema.node).values(row).onConflictDoUpdate({ target: schema.node.key, set: row }).run();
}
