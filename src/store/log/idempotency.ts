/**
 * The writes that were done lately, by what names their requests. A client whose answer was lost sends its write again, perhaps to a node that was
 * promoted meanwhile: it gets the first answer, and nothing is done twice. Kept on every copy, since it is made from the events.
 */
import type { Connection } from "../connection/connection.ts";

export interface IdempotencyRecord {
  readonly offset: number;
  /** Facts really inserted and deleted. */
  readonly inserted: number;
  readonly deleted: number;
}

/** Two requests that were sent within so many events of each other are known to be one. Part of what events do, so the same on all nodes. */
const idempotencyEventsMax = 100_000;

export function findIdempotencyRecord(database: Connection, request: string): IdempotencyRecord | undefined {
  const row = database
    .statement("SELECT offset, inserted, deleted FROM answered WHERE request = ?1")
    .values(request)[0];
  return row && { offset: Number(row[0]), inserted: Number(row[1]), deleted: Number(row[2]) };
}

/** Makes it be what was known at `offset`, to which the store has come back from `head`: what was forgotten since is in the log, if anywhere. */
export function rewindIdempotencyRecords(database: Connection, offset: number, head: number): void {
  database.statement("DELETE FROM answered WHERE offset > ?1").run(offset);
  const counted = (what: string): string => `coalesce(json_array_length(body, '$.${what}'), 0)`;
  const note = `INSERT OR IGNORE INTO answered (request, offset, inserted, deleted)
    SELECT json_extract(body, '$.request'), offset, ${counted("inserted")}, ${counted("deleted")} FROM log
    WHERE offset > ?1 AND offset <= ?2 AND json_extract(body, '$.request') IS NOT NULL ORDER BY offset DESC`;
  database.statement(note).run(offset - idempotencyEventsMax, Math.min(offset, head - idempotencyEventsMax));
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
