/** Turns a requested change of API keys into an effect, in the caller's transaction. */
import type { EffectOf } from "../event/event.ts";
import type { Connection } from "../../store/connection/connection.ts";
import * as schema from "../../store/connection/schema.ts";
import { apiKeyRows } from "../../store/keys/api-keys.ts";
import {
  type ApiKeyRow,
  earlierAfter,
  isExpired,
  keyIdOf,
  type KeySecret,
  rowOf,
  secretOf,
} from "../../store/keys/key-grant.ts";
import { bindingsRow, bindingsRows, isBindingsRow, type StoredBindings } from "../../store/keys/stored-bindings.ts";
import { AppError } from "../../util/app-error.ts";

export interface KeyChanges {
  /** Keys to create. One that exists is replaced, with all its secrets. */
  readonly add: readonly KeySecret[];
  /** Ids of keys, or of their rows, to remove. */
  readonly remove: readonly string[];
  readonly rotate?: KeyRotation;
  /** Records that the secrets whose expiry is at this time or earlier have expired. In ms since 1970. */
  readonly expireAtMs?: number;
  /** Refuses to create a key if there are so many already. */
  readonly keysMax?: number;
  /** Data bindings to store. Earlier ones of the name are replaced; new names are refused if there are `bindingsMax`. */
  readonly putBindings?: StoredBindings & { readonly bindingsMax: number };
  /** The name of data bindings to remove. */
  readonly removeBindings?: string;
}

/** A key gets a second secret. A third one, which an earlier rotation replaced, is removed. */
export interface KeyRotation {
  readonly id: string;
  /** Of the new secret. */
  readonly hash: string;
  /** Of the new secret; by default that of the present one. In ms since 1970. */
  readonly expiresMs?: number | undefined;
  /** When the present secret expires, if it does not expire earlier. */
  readonly replacedExpiresMs: number;
  readonly nowMs: number;
}

/** The rows that an event removes and adds. */
interface RowChange {
  readonly added: readonly ApiKeyRow[];
  readonly removed: readonly ApiKeyRow[];
}

/** Undefined if nothing changes. AppError says why the change is refused. */
export function decideKeys(store: Connection, request: KeyChanges): EffectOf<"keys"> | undefined {
  const { add, remove, rotate, expireAtMs, keysMax, putBindings, removeBindings } = request;
  const all = store.orm.select().from(schema.apiKey).all();
  const rows = all.filter((row) => !isBindingsRow(row));
  const creates = add.filter(({ id }) => !rows.some((row) => keyIdOf(row.id) === id)).length;
  if (keysMax !== undefined && creates > 0) requireRoom(rows, keysMax);
  const changes = [
    ...add.map((secret) => replaceKey(store, secret)),
    ...[...new Set(remove)].map((id): RowChange => ({ added: [], removed: removedRows(store, rows, id) })),
    ...(rotate === undefined ? [] : [rotateKey(store, rotate)]),
    ...(expireAtMs === undefined ? [] : rows.flatMap((row) => recordExpiry(row, expireAtMs) ?? [])),
    ...(putBindings === undefined ? [] : [storeBindings(store, putBindings)]),
    ...(removeBindings === undefined ? [] : [{ added: [], removed: bindingsRows(store, removeBindings) }]),
  ];
  const added = changes.flatMap((change) => change.added);
  const removed = changes.flatMap((change) => change.removed);
  if (added.length + removed.length === 0) return undefined;
  requireAdminLeft(rows, added, removed);
  // Rows with these ids are replaced or removed.
  const gone = new Set([...added, ...removed].map(({ id }) => id));
  const kept = new Set(added.map(({ id }) => id));
  return {
    kind: "keys",
    added: [...added],
    removed: removed.map(({ id }) => id).filter((id) => !kept.has(id)),
    replaced: all.filter(({ id }) => gone.has(id)),
  };
}

function requireRoom(rows: readonly ApiKeyRow[], keysMax: number): void {
  if (new Set(rows.map(({ id }) => keyIdOf(id))).size < keysMax) return;
  throw new AppError("invalid_request", `there are ${keysMax} API keys already, remove an unused one`);
}

/** Nodes of 0.1.0 show the id of the row as the id of the key. */
function removedRows(store: Connection, rows: readonly ApiKeyRow[], id: string): ApiKeyRow[] {
  if (isBindingsRow({ id })) return [];
  return apiKeyRows(store, rows.some((row) => row.id === id) ? keyIdOf(id) : id);
}

/** No change if the same text is stored already. */
function storeBindings(
  store: Connection,
  { bindingsMax, ...bindings }: StoredBindings & { readonly bindingsMax: number },
): RowChange {
  const row = bindingsRow(bindings);
  const known = bindingsRows(store, bindings.name);
  if (known.some(({ id }) => id === row.id)) return { added: [], removed: [] };
  if (known.length === 0 && bindingsRows(store).length >= bindingsMax)
    throw new AppError("invalid_request", `there are ${bindingsMax} data bindings already, remove unused ones`);
  return { added: [row], removed: known };
}

function replaceKey(store: Connection, secret: KeySecret): RowChange {
  const row = rowOf(secret);
  const known = apiKeyRows(store, secret.id);
  const [only] = known;
  const isKnown = known.length === 1 && only?.id === row.id;
  const isSame = isKnown && only.hash === row.hash && only.role === row.role && only.name === row.name;
  return isSame ? { added: [], removed: [] } : { added: [row], removed: known };
}

function rotateKey(store: Connection, rotation: KeyRotation): RowChange {
  const { id, hash, replacedExpiresMs, nowMs } = rotation;
  const removed = apiKeyRows(store, id);
  const secrets = removed.flatMap((row) => secretOf(row) ?? []);
  const present = secrets.find(({ isReplaced }) => isReplaced !== true);
  if (present === undefined) throw new AppError("not_found", `there is no API key \`${id}\``);
  const next = { ...present, hash, expiresMs: rotation.expiresMs ?? present.expiresMs, hasExpired: false };
  if (isExpired(next, nowMs))
    throw new AppError("conflict", `the API key \`${id}\` has expired: rotate it with a new expiry (\`expires\`)`);
  const replaced: KeySecret = {
    ...present,
    expiresMs: Math.min(replacedExpiresMs, present.expiresMs ?? Infinity),
    isReplaced: true,
    // Without a grace, no clock that is behind may keep the secret valid.
    hasExpired: present.hasExpired === true || replacedExpiresMs <= nowMs,
    earlier: earlierAfter(secrets.find(({ isReplaced }) => isReplaced)),
  };
  return { added: [rowOf(next), rowOf(replaced)], removed };
}

/** Undefined if the secret has not expired, or the log says so already. */
function recordExpiry(row: ApiKeyRow, atMs: number): RowChange | undefined {
  const secret = secretOf(row);
  if (secret?.expiresMs === undefined || secret.hasExpired === true || !isExpired(secret, atMs)) return undefined;
  return { added: [rowOf({ ...secret, hasExpired: true })], removed: [row] };
}

/**
 * Without an admin, no one could create API keys. Checked in the transaction: two admins may remove each other. A key
 * that expires does not count; the role of its row is `read`.
 */
function requireAdminLeft(
  rows: readonly ApiKeyRow[],
  added: readonly ApiKeyRow[],
  removed: readonly ApiKeyRow[],
): void {
  const isAdmin = ({ role }: ApiKeyRow): boolean => role === "admin";
  const gone = new Set([...removed, ...added].map(({ id }) => id));
  const last = rows.find((row) => isAdmin(row) && gone.has(row.id));
  if (last === undefined || added.some(isAdmin) || rows.some((row) => isAdmin(row) && !gone.has(row.id))) return;
  throw new AppError(
    "conflict",
    `\`${last.id}\` is the last key with the role \`admin\` that never expires, make another one first`,
  );
}
