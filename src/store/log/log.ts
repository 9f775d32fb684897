/**
 * The log of a node: which events happened, in which order. A row stores the text that its chain hash was computed
 * from, so all nodes hash the same bytes. A primary appends the events that it commits, every other node those that it
 * applies, so each node can serve the log, and can be promoted. A replica that needs a trimmed row installs a snapshot.
 */
import type { SqlRow, SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../connection/connection.ts";

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

const rowsPerStep = 128;
const columns = "offset, time_ms, kind, body, traceparent, hash, digest";

/** The log of one connection, which keeps the prepared statements. */
export function openLog(database: Connection) {
  const insert = database.statement(
    `INSERT INTO log (${columns}, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
       octet_length(?4) + coalesce((SELECT total FROM log WHERE offset = ?1 - 1), 0))`,
  );
  const select = database.statement(
    `SELECT ${columns}, octet_length(body) FROM log WHERE offset > ? ORDER BY offset LIMIT ?`,
  );
  return {
    append({ offset, timeMs, kind, body, traceparent, hash, digest }: StoredLogRow): void {
      insert.run(offset, timeMs, kind, body, traceparent, hash, digest);
    },

    /** The rows after `offset`, in order, within the limits. */
    read(offset: number, bounds: ReadBounds): StoredLogRow[] {
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

    /** The row at `offset`; undefined if it was trimmed or never existed. */
    rowAt(offset: number): StoredLogRow | undefined {
      const found = database.statement(`SELECT ${columns} FROM log WHERE offset = ?1`).values(offset)[0];
      return found && rowOf(found);
    },

    /** The chain hash at `offset`; undefined if that row was trimmed or never existed. */
    hashAt(offset: number): string | undefined {
      const found = database.statement("SELECT hash FROM log WHERE offset = ?1").values(offset)[0];
      return found && String(found[0]);
    },

    /** The last trimmed offset; undefined if the log is empty. */
    trimmedTo(): number | undefined {
      const first = database.number("SELECT min(offset) FROM log");
      return first === undefined ? undefined : first - 1;
    },

    /** Deletes all rows up to and including `offset`, and the cleared facts that belong to them. */
    trim(offset: number): void {
      database.statement("DELETE FROM log WHERE offset <= ?1").run(offset);
      database.statement("DELETE FROM cleared WHERE offset <= ?1").run(offset);
    },

    /** Deletes all rows after `offset`: their events were undone. */
    dropAfter(offset: number): void {
      database.statement("DELETE FROM log WHERE offset > ?1").run(offset);
    },
  };
}

export type Log = ReturnType<typeof openLog>;

function rowOf([offset, timeMs, kind, body, traceparent, hash, digest]: SqlRow): StoredLogRow {
  return {
    offset: Number(offset),
    timeMs: Number(timeMs),
    kind: String(kind),
    body: String(body),
    traceparent: nullableText(traceparent),
    hash: String(hash),
    digest: nullableText(digest),
  };
}

function nullableText(value: SqlValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}
