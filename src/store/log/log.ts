/**
 * The log of a node: the authority on which events happened in which order. A row stores the text that its chain hash
 * was computed from, so all nodes hash the same bytes. A primary appends the events that it commits, every other node
 * the events that it applies. So each node can serve the log to others, and can be promoted. Old rows are trimmed by
 * number, age and size; a replica that needs a trimmed row installs a snapshot.
 */
import { eq, gt, lte, min } from "drizzle-orm";
import type { SqlRow } from "../../runtime/sqlite.ts";
import type { Connection } from "../connection/connection.ts";
import { log } from "../connection/schema.ts";

/** An event as it is stored and sent. `body` is the JSON text of its effect. */
export interface LogRow {
  readonly offset: number;
  readonly timeMs: number;
  readonly kind: string;
  readonly body: string;
  readonly traceparent: string | null;
}

export interface StoredLogRow extends LogRow {
  /** The chain hash of this row and all rows before it. */
  readonly hash: string;
  /** The digest of the state after the event; null in rows that a version before format 5 wrote. */
  readonly digest: string | null;
}

/** Limits of one read. A row that is larger than `bytesMax` is returned alone. */
export interface ReadBounds {
  readonly eventsMax: number;
  readonly bytesMax: number;
}

export interface Log {
  append(row: StoredLogRow): void;
  /** The rows after `offset`, in order, within the limits. */
  read(offset: number, bounds: ReadBounds): StoredLogRow[];
  /** The row at `offset`; undefined if it was trimmed or never existed. */
  rowAt(offset: number): StoredLogRow | undefined;
  /** The chain hash at `offset`; undefined if that row was trimmed or never existed. */
  hashAt(offset: number): string | undefined;
  /** The last trimmed offset; undefined if the log is empty. */
  trimmedTo(): number | undefined;
  /** Deletes all rows up to and including `offset`, and the cleared facts that belong to them. */
  trim(offset: number): void;
  /** Deletes all rows after `offset`: their events were undone. */
  dropAfter(offset: number): void;
}

const rowsPerStep = 128;
const columns = "offset, time_ms, kind, body, traceparent, hash, digest";

/** The log of one connection, with its statements prepared. */
export function openLog(database: Connection): Log {
  const insert = database.prepare(
    `INSERT INTO log (${columns}, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
       octet_length(?4) + coalesce((SELECT total FROM log WHERE offset = ?1 - 1), 0))`,
  );
  const select = database.prepare(
    `SELECT ${columns}, octet_length(body) FROM log WHERE offset > ? ORDER BY offset LIMIT ?`,
  );
  const { orm } = database;
  return {
    append({ offset, timeMs, kind, body, traceparent, hash, digest }) {
      insert.run(offset, timeMs, kind, body, traceparent, hash, digest);
    },
    read(offset, bounds) {
      const rows: StoredLogRow[] = [];
      let bytes = 0;
      let after = offset;
      // In steps, so that few large bodies are read in vain.
      for (;;) {
        const step = Math.min(rowsPerStep, bounds.eventsMax - rows.length);
        const found = step > 0 ? select.values(after, step) : [];
        for (const values of found) {
          const row = rowOf(values);
          bytes += Number(values[7]);
          if (bytes > bounds.bytesMax && rows.length > 0) return rows;
          after = row.offset;
          rows.push(row);
        }
        if (found.length < step || step === 0) return rows;
      }
    },
    rowAt(offset) {
      const found = database.statement(`SELECT ${columns} FROM log WHERE offset = ?1`).values(offset)[0];
      return found && rowOf(found);
    },
    hashAt(offset) {
      return orm.select({ hash: log.hash }).from(log).where(eq(log.offset, offset)).get()?.hash;
    },
    trimmedTo() {
      const first = orm
        .select({ offset: min(log.offset) })
        .from(log)
        .get()?.offset;
      return typeof first === "number" ? first - 1 : undefined;
    },
    trim(offset) {
      orm.delete(log).where(lte(log.offset, offset)).run();
      database.statement("DELETE FROM cleared WHERE offset <= ?1").run(offset);
    },
    dropAfter(offset) {
      orm.delete(log).where(gt(log.offset, offset)).run();
    },
  };
}

function rowOf([offset, timeMs, kind, body, traceparent, hash, digest]: SqlRow): StoredLogRow {
  return {
    offset: Number(offset),
    timeMs: Number(timeMs),
    kind: String(kind),
    body: String(body),
    traceparent: traceparent === null || traceparent === undefined ? null : String(traceparent),
    hash: String(hash),
    digest: digest === null || digest === undefined ? null : String(digest),
  };
}
