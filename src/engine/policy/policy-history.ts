/**
 * The history of the policy: the newest versions, which are never changed. How many are kept depends only on the rows
 * of the table, not on settings, so all replicas keep the same ones.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { readState } from "../../store/log/store-state.ts";
import { parseStoredText, type StoredPolicy } from "./stored-policy.ts";

/** Limits of the versions that are kept. The newest one is kept whatever its size. */
export const historyLimits = { versions: 1000, bytes: 64 * 2 ** 20 } as const;

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

/** The version with this id; undefined if there is none, or if it is not kept any more. */
export function findVersion(database: Connection, id: number): PolicyVersion | undefined {
  const [row] = database.statement("SELECT source, filename, time_ms FROM policy WHERE id = ?1").values(id);
  if (row === undefined) return undefined;
  const [text, filename, timeMs] = row;
  return {
    id,
    filename: filename === null ? null : String(filename),
    timeMs: Number(timeMs),
    ...parseStoredText(id, String(text)),
  };
}

/** At most `max` versions older than `before`, in the caller's transaction. */
export function readHistory(database: Connection, max: number, before = Number.MAX_SAFE_INTEGER): HistoryPage {
  const rows = sizesBefore(database, before, max + 1);
  let bytes = 0;
  const fitting = rows.slice(0, max).filter(([, size], index) => (bytes += size) <= pageBytesMax || index === 0);
  const { policyId } = readState(database);
  const versions = fitting.flatMap(([id]) => findVersion(database, id) ?? []);
  return {
    versions: versions.map((each) => ({ ...each, active: each.id === policyId })),
    hasMore: rows.length > versions.length,
  };
}

/** Deletes the versions beyond the limits, in the transaction of the event that adds one. */
export function trimHistory(database: Connection, limits: { versions: number; bytes: number } = historyLimits): void {
  let [versions, bytes] = [0, 0];
  for (const [id, size] of sizesBefore(database, Number.MAX_SAFE_INTEGER, -1)) {
    versions += 1;
    bytes += size;
    if (versions === 1 || (versions <= limits.versions && bytes <= limits.bytes)) continue;
    database.statement("DELETE FROM policy WHERE id <= ?1").run(id);
    return;
  }
}

/** Ids and sizes, newest first. SQLite knows the size of a text without reading it. */
function sizesBefore(database: Connection, before: number, max: number): (readonly [id: number, size: number])[] {
  const select = "SELECT id, octet_length(source) FROM policy WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
  return database
    .statement(select)
    .values(before, max)
    .map(([id, size]) => [Number(id), Number(size)] as const);
}
