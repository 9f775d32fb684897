/**
 * Data bindings that the environment has under names, for all nodes. They are rows of `api_key`, and events change them
 * as those of API keys: nodes of release 0.1.0 refuse another kind of event, and keep, replicate and hash a row whose id
 * no client can send. Its id has the text as JSON, as that of a key has its grant: `bindings/orders{"text":"facts: …"}`.
 * The hash of a row is that of no secret.
 */
import { and, gte, lt } from "drizzle-orm";
import { z } from "zod";
import type { Connection } from "../connection/connection.ts";
import * as schema from "../connection/schema.ts";
import { type ApiKeyRow, bindingsPrefix } from "./key-grant.ts";

export interface StoredBindings {
  readonly name: string;
  /** YAML. */
  readonly text: string;
  /** When the text was stored, in ms since 1970. */
  readonly timeMs: number;
}

/** What a name may be: it is a part of a path and of the id of a row. */
export const bindingsName = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

const content = z.lazy(() => z.strictObject({ text: z.string() }));
const noSecret = "0".repeat(64);

export function bindingsRow({ name, text, timeMs }: StoredBindings): ApiKeyRow {
  const id = `${bindingsPrefix}${name}${JSON.stringify({ text })}`;
  return { id, name: `data bindings ${name}`, role: "read", hash: noSecret, timeMs };
}

/** Whether the row with this id has bindings, and no API key. */
export function isBindingsRow({ id }: Pick<ApiKeyRow, "id">): boolean {
  return id.startsWith(bindingsPrefix);
}

/** The name of the bindings in the row with this id. */
export function bindingsNameOf({ id }: Pick<ApiKeyRow, "id">): string {
  return id.slice(bindingsPrefix.length).split("{", 1)[0] ?? "";
}

/** The rows of bindings: all, or those with this name. */
export function bindingsRows(database: Connection, name?: string): ApiKeyRow[] {
  const rowId = schema.apiKey.id;
  // `0` follows `/`, and `|` follows `{`.
  const [from, to] =
    name === undefined ? [bindingsPrefix, "bindings0"] : [`${bindingsPrefix}${name}{`, `${bindingsPrefix}${name}|`];
  return database.orm
    .select()
    .from(schema.apiKey)
    .where(and(gte(rowId, from), lt(rowId, to)))
    .orderBy(rowId)
    .all();
}

/** The bindings in a row; undefined if it has none, or if a later release wrote it in another form. */
export function bindingsOf(row: ApiKeyRow): StoredBindings | undefined {
  if (!isBindingsRow(row)) return undefined;
  const name = bindingsNameOf(row);
  const { data } = content.safeParse(jsonOf(row.id.slice(bindingsPrefix.length + name.length)));
  return data && { name, text: data.text, timeMs: row.timeMs };
}

export function findBindings(database: Connection, name: string): StoredBindings | undefined {
  const [row] = bindingsName.test(name) ? bindingsRows(database, name) : [];
  return row && bindingsOf(row);
}

/** All stored bindings, by name. */
export function allBindings(database: Connection): StoredBindings[] {
  return bindingsRows(database).flatMap((row) => bindingsOf(row) ?? []);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
