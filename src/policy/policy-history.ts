/**
 * The history of the policy: its newest versions, which are never changed. Which ones it has depends only on the table
 * of policies, not on settings, so it is the same on all replicas. The table also has older versions, as long as a
 * point-in-time recovery can need them: the log has the event that replaced them. So nobody can remove the policy of an
 * earlier time with many uploads.
 */
import type { Connection } from "../store/connection/connection.ts";
import { readState } from "../store/log/store-state.ts";
import { parseStoredText, type StoredPolicy } from "./stored-policy.ts";

export interface HistoryLimits {
  readonly versions: number;
  /** Of all sources together. The newest version is in the history whatever its size. */
  readonly bytes: number;
}

const historyLimits: HistoryLimits = { versions: 1000, bytes: 64 * 2 ** 20 };

export interface PolicyVersion extends StoredPolicy {
  readonly id: number;
  readonly filename: string | null;
  readonly timeMs: number;
}

export interface HistoryPage {
  /** Newest first. */
  readonly versions: readonly (PolicyVersion & { readonly active: boolean })[];
  /** Whether there are older versions. */
  readonly hasMore: boolean;
}

/** A page ends early after this many bytes of sources: each source has to be read for its trailer. */
const pageBytesMax = 4 * 2 ** 20;

/** The version with this id, if the history has it. */
export function findVersion(database: Connection, id: number, limits = historyLimits): PolicyVersion | undefined {
  return id >= oldestId(database, limits) ? readVersion(database, id) : undefined;
}

/** The version with this id, in the history or older. */
export function readVersion(database: Connection, id: number): PolicyVersion | undefined {
  const [row] = database.statement("SELECT source, filename, time_ms FROM policy WHERE id = ?1").values(id);
  if (row === undefined) return undefined;
  const [text, name, timeMs] = row;
  const filename = name === null ? null : String(name);
  return { id, filename, timeMs: Number(timeMs), ...parseStoredText(id, String(text)) };
}

/** At most `max` versions older than `before`, in the caller's transaction. */
export function readHistory(
  database: Connection,
  max: number,
  before = Number.MAX_SAFE_INTEGER,
  limits = historyLimits,
): HistoryPage {
  const oldest = oldestId(database, limits);
  const rows = sizesBefore(database, before, max + 1).filter(([id]) => id >= oldest);
  let bytes = 0;
  const fitting = rows.slice(0, max).filter(([, size], index) => (bytes += size) <= pageBytesMax || index === 0);
  const { policyId } = readState(database);
  const versions = fitting.flatMap(([id]) => readVersion(database, id) ?? []);
  return {
    versions: versions.map((each) => ({ ...each, active: each.id === policyId })),
    hasMore: rows.length > versions.length,
  };
}

/**
 * Deletes the versions that are too old for the history, and that no recovery needs when the log has only events after
 * `offset`. Runs in the transaction that trims the log, before the log is trimmed.
 */
export function trimVersions(database: Connection, offset: number, limits = historyLimits): void {
  const lastTrimmed = "SELECT json_extract(body, '$.id') FROM log WHERE kind = 'policy' AND offset <= ?1";
  const active = database.number(`${lastTrimmed} ORDER BY offset DESC LIMIT 1`, offset);
  if (active === undefined) return;
  database.statement("DELETE FROM policy WHERE id < ?1").run(Math.min(active, oldestId(database, limits)));
}

/** The id of the oldest version in the history. */
function oldestId(database: Connection, limits: HistoryLimits): number {
  let [oldest, bytes] = [0, 0];
  for (const [id, size] of sizesBefore(database, Number.MAX_SAFE_INTEGER, limits.versions)) {
    bytes += size;
    if (bytes > limits.bytes && oldest > 0) return oldest;
    oldest = id;
  }
  return oldest;
}

/** Ids and sizes, newest first. SQLite knows the size of a text without reading it. */
function sizesBefore(database: Connection, before: number, max: number): (readonly [id: number, size: number])[] {
  const select = "SELECT id, octet_length(source) FROM policy WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
  return database
    .statement(select)
    .values(before, max)
    .map(([id, size]) => [Number(id), Number(size)] as const);
}
