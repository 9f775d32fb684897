/**
 * Idempotency records: the results of recent writes by the idempotency keys of their requests. A client that got no
 * response sends its write again, perhaps to a node that was promoted meanwhile. It gets the first result, and nothing
 * is written twice. Every node has the records, because they are derived from the events.
 */
import type { Connection } from "../connection/connection.ts";

export interface IdempotencyRecord {
  readonly offset: number;
  /** The number of facts that the write really inserted and deleted. */
  readonly inserted: number;
  readonly deleted: number;
}

/** A record is kept for so many events. All nodes must use the same number: the records are part of what events do. */
const idempotencyEventsMax = 100_000;

export function findIdempotencyRecord(database: Connection, request: string): IdempotencyRecord | undefined {
  const sql = "SELECT offset, inserted, deleted FROM answered WHERE request = ?1";
  const row = database.statement(sql).values(request)[0];
  return row && { offset: Number(row[0]), inserted: Number(row[1]), deleted: Number(row[2]) };
}

/** Restores the records of `offset`, to which the store was taken back from `head`. The log has the deleted ones. */
export function rewindIdempotencyRecords(database: Connection, offset: number, head: number): void {
  database.statement("DELETE FROM answered WHERE offset > ?1").run(offset);
  const lengthOf = (list: string): string => `coalesce(json_array_length(body, '$.${list}'), 0)`;
  const insert = `INSERT OR IGNORE INTO answered (request, offset, inserted, deleted)
    SELECT json_extract(body, '$.request'), offset, ${lengthOf("inserted")}, ${lengthOf("deleted")} FROM log
    WHERE offset > ?1 AND offset <= ?2 AND json_extract(body, '$.request') IS NOT NULL ORDER BY offset DESC`;
  database.statement(insert).run(offset - idempotencyEventsMax, Math.min(offset, head - idempotencyEventsMax));
}

export function putIdempotencyRecord(
  database: Connection,
  request: string,
  { offset, inserted, deleted }: IdempotencyRecord,
): void {
  const insert = "INSERT OR REPLACE INTO answered (request, offset, inserted, deleted) VALUES (?1, ?2, ?3, ?4)";
  database.statement(insert).run(request, offset, inserted, deleted);
  database.statement("DELETE FROM answered WHERE offset <= ?1").run(offset - idempotencyEventsMax);
}
