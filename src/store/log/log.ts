/**
 * A node's log: the only truth about what happened in which order. Rows are kept as the text that the chain hash was made of, so that
 * every copy hashes the very same bytes. A primary writes it, every other node keeps what it applied: so each can hand it on, and be promoted.
 * Old rows are trimmed by number, age and size; whoever needs one of them takes a snapshot.
 */
import { eq, gt, lte, min } from "drizzle-orm";
import type { SqlRow } from "../../runtime/sqlite.ts";
import type { Connection } from "../connection/connection.ts";
import { log } from "../connection/schema.ts";

/** One event as it is stored and sent: `body` is the JSON text of its effect. */
export interface LogRow {
  readonly offset: number;
  readonly timeMs: number;
  readonly kind: string;
  readonly body: string;
  readonly traceparent: string | null;
}

export interface StoredLogRow extends LogRow {
  /** Chain hash over this row and all before it. */
  readonly hash: string;
  /** The state's digest after it; null in rows that an older binary wrote. */
  readonly digest: string | null;
}

/** How much one read takes at most; a single row larger than `bytesMax` is still given, alone. */
export interface ReadBounds {
  readonly eventsMax: number;
  readonly bytesMax: number;
}

export interface Log {
  append(row: StoredLogRow): void;
  /** The rows after `offset`, in order, as many as the bounds allow. */
  read(offset: number, bounds: ReadBounds): StoredLogRow[];
  /** The row at `offset`, `undefined` where it was trimmed or never was. */
  rowAt(offset: number): StoredLogRow | undefined;
  /** The chain hash after `offset`, or `undefined` where that row was trimmed or never was. */
  hashAt(offset: number): string | undefined;
  /** The last trimmed offset: rows after it are here. `undefined` where the log is empty. */
  trimmedTo(): number | undefined;
  /** Drops all rows up to and including `offset`, and what they took away. */
  trim(offset: number): void;
  /** Drops all rows after `offset`, which were undone. */
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
      // In steps, so that a page full of large bodies is not fetched only to be thrown away.
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
