/**
 * The grant of an API key: its role, when it expires, and the facts to which its writes are restricted.
 *
 * A row of `api_key`, and of the events that change it, is one secret of a key. Nodes of release 0.1.0 refuse a row with
 * another member, and accept every secret that they find by the id of its key. So a secret whose grant is more than a
 * role has its grant behind the id, as JSON: `2f9c…{"role":"write","expires":1790000000000}`. No client can send such an
 * id, so these nodes keep and replicate the row, and answer 401 to the key. The digest covers the id, and with it the
 * grant. Its column `role` is always `read`.
 */
import { z } from "zod";
import type * as schema from "../connection/schema.ts";

export type ApiKeyRow = typeof schema.apiKey.$inferSelect;
export type ApiKeyRole = ApiKeyRow["role"];

/** The facts that a key may change. A missing list permits everything. */
export interface WriteRestriction {
  readonly predicates?: readonly string[] | undefined;
  /** The types of arguments, besides texts, numbers and booleans. */
  readonly types?: readonly string[] | undefined;
}

export interface KeyGrant {
  readonly role: ApiKeyRole;
  /** In ms since 1970. Undefined if it never expires. */
  readonly expiresMs?: number | undefined;
  readonly restriction?: WriteRestriction | undefined;
  /** Whether a rotation has replaced the secret. It is then valid until `expiresMs`. */
  readonly isReplaced?: boolean;
  /** Whether the log says that it has expired. Then no clock can make it valid again. */
  readonly hasExpired?: boolean;
  /** Of a replaced secret: the prefixes of the hashes of those that earlier rotations replaced, the latest first. */
  readonly earlier?: readonly string[];
}

/** The ids of the rows that have stored data bindings (`stored-bindings.ts`), and no secret, begin with it. */
export const bindingsPrefix = "bindings/";

/** One secret of a key. A key that was rotated has two. */
export interface KeySecret extends KeyGrant {
  /** The id of the key. */
  readonly id: string;
  readonly name: string;
  readonly hash: string;
  /** When the key was made. */
  readonly timeMs: number;
}

// Made at its first use, because it would take each thread 2 ms of its start.
const storedGrant = z.lazy(() => {
  const names = z.array(z.string().min(1)).min(1).optional();
  return z.strictObject({
    role: z.enum(["admin", "write", "read"]),
    expires: z.int().optional(),
    predicates: names,
    types: names,
    replaced: z.literal(true).optional(),
    expired: z.literal(true).optional(),
    earlier: z.array(z.string()).optional(),
  });
});

/** The row of a secret. Equal secrets have equal rows. */
export function rowOf({ id, name, hash, timeMs, ...grant }: KeySecret): ApiKeyRow {
  const { role, expiresMs, restriction, isReplaced = false, hasExpired = false, earlier = [] } = grant;
  const json: z.infer<typeof storedGrant> = {
    role,
    ...(expiresMs !== undefined && { expires: expiresMs }),
    ...(restriction?.predicates !== undefined && { predicates: sorted(restriction.predicates) }),
    ...(restriction?.types !== undefined && { types: sorted(restriction.types) }),
    ...(isReplaced && { replaced: true }),
    ...(hasExpired && { expired: true }),
    ...(earlier.length > 0 && { earlier: [...earlier] }),
  };
  if (Object.keys(json).length === 1) return { id, name, role, hash, timeMs };
  return { id: id + JSON.stringify(json), name, role: "read", hash, timeMs };
}

/** The secret in a row. Undefined if this release does not understand its grant: nobody may use it here. */
export function secretOf({ id: rowId, name, role, hash, timeMs }: ApiKeyRow): KeySecret | undefined {
  if (rowId.startsWith(bindingsPrefix)) return undefined;
  const id = keyIdOf(rowId);
  if (id === rowId) return { id, name, hash, timeMs, role };
  const grant = storedGrant.safeParse(jsonOf(rowId.slice(id.length)));
  if (!grant.success) return undefined;
  const { role: granted, expires: expiresMs, predicates, types, replaced, expired, earlier } = grant.data;
  return {
    ...{ id, name, hash, timeMs, role: granted, expiresMs },
    ...((predicates ?? types) !== undefined && { restriction: { predicates, types } }),
    ...(replaced === true && { isReplaced: true }),
    ...(expired === true && { hasExpired: true }),
    ...(earlier !== undefined && { earlier }),
  };
}

/** Secrets of a key whose replacement is known. The list is in the id of a row. */
const earlierMax = 32;
const hashPrefixLength = 16;

/** `earlier` of the secret that is replaced after `before`. */
export function earlierAfter(before: KeySecret | undefined): readonly string[] {
  if (before === undefined) return [];
  return [before.hash.slice(0, hashPrefixLength), ...(before.earlier ?? [])].slice(0, earlierMax);
}

/** Whether a rotation has replaced the secret with this hash, as far as that is known. */
export function wasReplaced(secrets: readonly KeySecret[], hash: string): boolean {
  const prefix = hash.slice(0, hashPrefixLength);
  return secrets.some(
    (secret) => secret.isReplaced === true && (secret.hash === hash || secret.earlier?.includes(prefix)),
  );
}

/** The id of the key in the id of a row. */
export function keyIdOf(rowId: string): string {
  const start = rowId.indexOf("{");
  return start === -1 ? rowId : rowId.slice(0, start);
}

/** Whether a node whose clock shows `nowMs` must refuse the secret. */
export function isExpired({ expiresMs, hasExpired }: KeyGrant, nowMs: number): boolean {
  return hasExpired === true || (expiresMs !== undefined && nowMs >= expiresMs);
}

function sorted(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted();
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
