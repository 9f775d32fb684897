/**
 * The audit log of a node: a table that no event changes, so it outlives the trimming of the log, point-in-time recovery
 * and the history itself. An entry of a change is written in the transaction of the change. The primary's entries
 * reach other nodes with the events that they describe, and all entries are exchanged over HTTP (`replication/audit`).
 */
import type { SqlRow, SqlValue } from "../../runtime/sqlite.ts";
import { existsSync } from "node:fs";
import { Connection } from "../connection/connection.ts";
import { addedTablesPath, requireSoundTables } from "../connection/added-tables.ts";
import { reasonOf } from "../../util/reason.ts";
import { isDamage } from "../../util/storage-failure.ts";
import type { AuditEntry, AuditResult } from "./audit-entry.ts";

export interface StoredAuditEntry {
  /** Counts the entries as they arrived on this node. */
  readonly seq: number;
  readonly entry: AuditEntry;
}

/** How an entry came to this node. */
export interface AuditOrigin {
  /** Whether it is from the primary. A node that is not the primary sends the others there, once. */
  readonly received: boolean;
  /** Whether this log has the event that the entry names. */
  readonly hasEvent?: boolean;
}

/** Adds the entries that the node lacks, in the caller's transaction, and notes the origin of the others. */
export function addAuditEntries(store: Connection, entries: readonly AuditEntry[], origin: AuditOrigin): void {
  const insert = store.statement(`INSERT INTO audit
      (id, time_ms, actor_id, actor_name, action, result, offset, received, entry)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (id) DO UPDATE SET
      offset = coalesce(excluded.offset, offset), received = max(received, excluded.received)`);
  for (const entry of entries) {
    const { id, timeMs, actor, action, result } = entry;
    const offset = origin.hasEvent === true ? entry.offset : null;
    insert.run(
      id,
      timeMs,
      actor.id,
      actor.name,
      action,
      result,
      offset,
      Number(origin.received),
      JSON.stringify(entry),
    );
  }
}

/** The entries of events after one offset, up to another one, within the limits: the others are exchanged later. */
export function auditEntriesOfEvents(
  store: Connection,
  after: number,
  upTo: number,
  { entriesMax, bytesMax }: { readonly entriesMax: number; readonly bytesMax: number },
): AuditEntry[] {
  const select = "SELECT entry FROM audit WHERE offset > ?1 AND offset <= ?2 ORDER BY offset, seq LIMIT ?3";
  let bytes = 0;
  const fitting = store
    .statement(select)
    .values(after, upTo, entriesMax)
    .filter(([text]) => (bytes += Buffer.byteLength(String(text))) <= bytesMax);
  return fitting.map(([text]) => parseEntry(text));
}

/** The entries that arrived after `seq`; without `received` only those that the primary may not have. */
export function auditEntriesAfter(
  store: Connection,
  seq: number,
  max: number,
  { received }: { readonly received: boolean },
): StoredAuditEntry[] {
  const select = `SELECT seq, entry FROM audit WHERE seq > ?1 AND received <= ?2 ORDER BY seq LIMIT ?3`;
  return store
    .statement(select)
    .values(seq, Number(received), max)
    .map(([at, text]) => storedEntry(at, text));
}

/** The last `seq` before all entries since `timeMs`. */
export function auditSeqBefore(store: Connection, timeMs: number): number {
  const first = store.number("SELECT min(seq) FROM audit WHERE time_ms >= ?1", timeMs);
  return first === undefined ? lastAuditSeq(store) : first - 1;
}

/** The `seq` of the entry that arrived last; 0 without any. */
export function lastAuditSeq(store: Connection): number {
  return store.number("SELECT max(seq) FROM audit") ?? 0;
}

/** The time of the newest entry that is not after `nowMs`, as one of a node with a wrong clock; undefined without any. */
export function lastAuditTime(store: Connection, nowMs: number): number | undefined {
  return store.number("SELECT max(time_ms) FROM audit WHERE time_ms <= ?1", nowMs);
}

export interface AuditFilter {
  /** The id or the name of the actor. */
  readonly who?: string | undefined;
  readonly action?: string | undefined;
  readonly result?: AuditResult | undefined;
  /** In ms since 1970; `untilMs` is excluded. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

/** A place between entries, which are ordered by time and id. */
export interface AuditPosition {
  readonly timeMs: number;
  readonly id: string;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  /** Where the next page begins; undefined at the end. */
  readonly next: AuditPosition | undefined;
}

/**
 * A page of entries, newest first, that come before `before`. It examines at most `examinedMax` entries, so that it
 * takes a bounded time: a page may have few entries, or none, and a next one.
 */
export function readAuditPage(
  store: Connection,
  filter: AuditFilter,
  {
    before,
    size,
    examinedMax,
  }: { readonly before?: AuditPosition | undefined; readonly size: number; readonly examinedMax: number },
): AuditPage {
  const { who = null, action = null, result = null, sinceMs = 0, untilMs = Number.MAX_SAFE_INTEGER } = filter;
  const start = before ?? { timeMs: untilMs, id: "" };
  const isFiltered = (who ?? action ?? result) !== null;
  const limit = isFiltered ? examinedMax : Math.min(size + 1, examinedMax);
  const select = `SELECT time_ms, id, CASE WHEN (?5 IS NULL OR actor_id = ?5 OR actor_name = ?5)
      AND (?6 IS NULL OR action = ?6) AND (?7 IS NULL OR result = ?7) THEN entry END
    FROM audit WHERE time_ms >= ?1 AND (time_ms, id) < (?2, ?3) ORDER BY time_ms DESC, id DESC LIMIT ?4`;
  const rows = store.statement(select).values(sinceMs, start.timeMs, start.id, limit, who, action, result);
  const entries: AuditEntry[] = [];
  for (const [index, [timeMs, id, text]] of rows.entries()) {
    if (text !== null) entries.push(parseEntry(text));
    const isLast = index === rows.length - 1;
    if (entries.length < size && !isLast) continue;
    const mayHaveMore = !isLast || rows.length === limit;
    return { entries, next: mayHaveMore ? { timeMs: Number(timeMs), id: String(id) } : undefined };
  }
  return { entries, next: undefined };
}

/** Limits of the audit log. */
export interface AuditRetention {
  readonly entries: number;
  /** Undefined while the clock is not trusted. */
  readonly oldestMs: number | undefined;
}

/** The entries to remove. The newest one always stays, so that no `seq` is used twice. */
export interface ExcessAuditEntries {
  /** All entries up to this `seq`, and those with this result up to its own `seq`. */
  readonly seq: number;
  readonly undone: readonly { readonly result: AuditResult; readonly seq: number }[];
  /** So many entries, the oldest ones. */
  readonly aged: number;
}

/** Results of actions that were not done. Everybody can send requests that are refused, or to a node that fails. */
const undoneResults = ["refused", "failed", "uncertain"] as const;
/** The part of the entries that each of these results may have, so that nobody can displace the others with them. */
const undoneShare = 0.1;
/** The largest part that is removed by age in one go: a wrong clock must not cost the whole audit log. */
const agedShareMax = 0.1;

const isNewest = "seq = (SELECT max(seq) FROM audit)";

/** What exceeds the limits; undefined if nothing does. */
export function excessAuditEntries(
  store: Connection,
  { entries, oldestMs }: AuditRetention,
): ExcessAuditEntries | undefined {
  const last = "ORDER BY seq DESC LIMIT 1 OFFSET ?1";
  const [first, newest] = ["min", "max"].map((end) => store.number(`SELECT ${end}(seq) FROM audit`) ?? 0);
  // Without this, each call would go through the whole table.
  const mayExceed = Number(newest) - Number(first) >= entries;
  const seq = mayExceed ? (store.number(`SELECT seq FROM audit ${last}`, entries) ?? 0) : 0;
  const undoneMax = Math.max(1, Math.floor(entries * undoneShare));
  const undone = undoneResults.flatMap((result) => {
    const exceeding = store.number(`SELECT seq FROM audit WHERE result = ?2 ${last}`, undoneMax, result);
    return exceeding === undefined ? [] : [{ result, seq: exceeding }];
  });
  let aged = 0;
  if (oldestMs !== undefined && (store.number("SELECT min(time_ms) FROM audit") ?? oldestMs) < oldestMs) {
    const count = store.number("SELECT count(*) FROM audit") ?? 0;
    const old = store.number(`SELECT count(*) FROM audit WHERE time_ms < ?1 AND NOT ${isNewest}`, oldestMs) ?? 0;
    aged = Math.min(old, Math.max(1, Math.floor(count * agedShareMax)));
  }
  return seq + undone.length + aged === 0 ? undefined : { seq, undone, aged };
}

export function removeAuditEntries(store: Connection, { seq, undone, aged }: ExcessAuditEntries): void {
  const ofResult = store.statement(`DELETE FROM audit WHERE result = ?1 AND seq <= ?2 AND NOT ${isNewest}`);
  for (const each of undone) ofResult.run(each.result, each.seq);
  store.statement(`DELETE FROM audit WHERE seq <= ?1 AND NOT ${isNewest}`).run(seq);
  const oldest = `SELECT seq FROM audit WHERE NOT ${isNewest} ORDER BY time_ms, id LIMIT ?1`;
  store.statement(`DELETE FROM audit WHERE seq IN (${oldest})`).run(aged);
}

/** Recovery to a point in time has undone the events after `offset`: their entries stay, without an event. */
export function detachAuditEntries(store: Connection, offset: number): void {
  store.statement("UPDATE audit SET offset = NULL WHERE offset > ?1").run(offset);
}

const copiedPerStep = 1000;
const copiedColumns = "id, time_ms, actor_id, actor_name, action, result, entry";

/** For a database from a snapshot, in the caller's transaction: the node that has made it has its entries. */
export function markAuditReceived(store: Connection): void {
  store.statement("UPDATE audit SET received = 1").run();
}

/**
 * Adds the entries that were recorded beside the database at `path`, while a database there kept an older format. If
 * that file is damaged, entries that cannot be read are left out, and the result says so.
 */
export function copyAddedAuditEntries(path: string, to: Connection): string | undefined {
  const file = addedTablesPath(path);
  if (!existsSync(file)) return undefined;
  const added = new Connection(file, { readonly: true });
  try {
    added.exec("PRAGMA busy_timeout = 5000");
    copyAuditEntries(added, to);
    return undefined;
  } catch (error) {
    if (!isDamage(error) || isSound(added)) throw error;
    return `\`${file}\` is damaged, so entries of the audit log are left out: ${reasonOf(error)}`;
  } finally {
    added.close();
  }
}

function isSound(added: Connection): boolean {
  try {
    requireSoundTables(added);
    return true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

/** Adds the entries of another store that this one lacks, in the caller's transaction. An older format has none. */
export function copyAuditEntries(from: Connection, to: Connection): void {
  if (from.number("SELECT count(*) FROM sqlite_schema WHERE name = 'audit'") === 0) return;
  const select = from.statement(`SELECT seq, ${copiedColumns} FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2`);
  const insert = to.statement(
    `INSERT OR IGNORE INTO audit (${copiedColumns}, received) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)`,
  );
  for (let last = 0; ;) {
    const rows = select.values(last, copiedPerStep);
    for (const [, ...columns] of rows) insert.run(...columns);
    if (rows.length < copiedPerStep) return;
    last = Number(rows.at(-1)?.[0]);
  }
}

function storedEntry(seq: SqlRow[number] | undefined, text: SqlValue | undefined): StoredAuditEntry {
  return { seq: Number(seq), entry: parseEntry(text) };
}

/** Entries are checked when they arrive. */
function parseEntry(text: SqlValue | undefined): AuditEntry {
  return JSON.parse(String(text)) as AuditEntry;
}
