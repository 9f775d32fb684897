/**
 * The primary's log: the only truth about what happened in which order. Rows are kept as the text that the chain hash was made of, so that
 * every copy hashes the very same bytes. Old rows are trimmed by count; whoever needs one of them takes a snapshot.
 */
import { eq, lte, min } from "drizzle-orm";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { log } from "./schema.ts";

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
  /** The chain hash after `offset`, or `undefined` where that row was trimmed or never was. */
  hashAt(offset: number): string | undefined;
  /** The last trimmed offset: rows after it are here. `undefined` where the log is empty. */
  trimmedTo(): number | undefined;
  /** Drops all rows up to and including `offset`. */
  trim(offset: number): void;
}

/** The log of one connection, with its statements prepared. */
export function openLog(database: SqlDatabase): Log {
  const insert = database.prepare(
    "INSERT INTO log (offset, time_ms, kind, body, traceparent, hash) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const select = database.prepare(
    "SELECT offset, time_ms, kind, body, traceparent, hash, octet_length(body) FROM log WHERE offset > ? ORDER BY offset LIMIT ?",
  );
  const { orm } = database;

  return {
    append(row) {
      insert.run(row.offset, row.timeMs, row.kind, row.body, row.traceparent, row.hash);
    },
    read(offset, bounds) {
      const rows: StoredLogRow[] = [];
      let bytes = 0;
      let after = offset;
      // In steps, so that a page full of large bodies is not fetched only to be thrown away.
      for (;;) {
        const step = Math.min(rowsPerStep, bounds.eventsMax - rows.length);
        const found = step > 0 ? select.values(after, step) : [];
        for (const [at, timeMs, kind, body, traceparent, hash, length] of found) {
          bytes += Number(length);
          if (bytes > bounds.bytesMax && rows.length > 0) return rows;
          after = Number(at);
          rows.push({
            offset: after,
            timeMs: Number(timeMs),
            kind: String(kind),
            body: String(body),
            traceparent: traceparent === null ? null : String(traceparent),
            hash: String(hash),
          });
        }
        if (found.length < step || step === 0) return rows;
      }
    },
    hashAt(offset) {
      return orm.select({ hash: log.hash }).from(log).where(eq(log.offset, offset)).get()?.hash;
    },
    trimmedTo() {
      const first = orm
        .select({ offset: min(log.offset) })
        .from(log)
        .get()?.offset;
      return first === null || first === undefined ? undefined : first - 1;
    },
    trim(offset) {
      orm.delete(log).where(lte(log.offset, offset)).run();
    },
  };
}

const rowsPerStep = 128;
