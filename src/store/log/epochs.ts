/**
 * The epochs of a store's history, from the first to the present one. An epoch names what one primary wrote without a break; a new one begins
 * where a node is promoted or a backup restored, and continues the history up to there. So this tells which positions a history contains.
 */
import { asc } from "drizzle-orm";
import type { Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";
import * as schema from "../connection/schema.ts";

/** What epochs are ordered by. */
export interface EpochId {
  readonly epoch: string;
  /** A later epoch of the same environment has a higher one (`terms.ts`). Two that begin at once, without votes, may have the same. */
  readonly term: number;
}

export interface Epoch extends EpochId {
  /** Where it began: the last offset of the one before, and the chain hash there. */
  readonly offset: number;
  readonly hash: string;
  /** When, in ms since 1970; 0 where that is not known. */
  readonly timeMs: number;
}

/** Less than 0 where the one is earlier, 0 where they are the same. All nodes order them alike: of two with the same term the names decide. */
export function compareEpochs(one: EpochId, other: EpochId): number {
  return one.term - other.term || (one.epoch === other.epoch ? 0 : one.epoch < other.epoch ? -1 : 1);
}

/** Oldest first; the last one is the present. */
export function readEpochs(database: Connection): Epoch[] {
  return database.orm.select().from(schema.epoch).orderBy(asc(schema.epoch.term)).all();
}

/**
 * The one that the history began with. No other history has it: restoring, promoting and trimming leave it, so two histories share their beginning
 * exactly where their first epochs are the same.
 */
export function firstEpoch(database: Connection): Epoch {
  return must(readEpochs(database)[0], "a store has an epoch");
}

/** Makes it the store's present epoch. */
export function beginEpoch(database: Connection, { epoch, term, offset, hash, timeMs }: Epoch): void {
  const insert = "INSERT INTO epoch (epoch, term, offset, hash, time_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
  database.statement(insert).run(epoch, term, offset, hash, timeMs);
  database.statement("UPDATE state SET epoch = ?1, term = ?2 WHERE one = 1").run(epoch, term);
}

/** Takes the present epoch away, as if it had never begun. Gives the one before, which goes on. Throws where there is none. */
export function removeLastEpoch(database: Connection, epoch: string): Epoch {
  const epochs = readEpochs(database);
  const [before, last] = epochs.slice(-2);
  if (before === undefined || last?.epoch !== epoch) throw new Error(`${epoch} is not the last of several epochs`);
  database.statement("DELETE FROM epoch WHERE epoch = ?1").run(epoch);
  database.statement("UPDATE state SET epoch = ?1, term = ?2 WHERE one = 1").run(before.epoch, before.term);
  return before;
}

/** Whether a history with these epochs, which has come to `end`, contains the offset of that epoch. `undefined` where it never had the epoch. */
export function containsOffset(
  epochs: readonly Epoch[],
  end: number,
  epoch: string,
  offset: number,
): boolean | undefined {
  const index = epochs.findIndex((known) => known.epoch === epoch);
  if (index === -1) return undefined;
  return offset <= (epochs[index + 1]?.offset ?? end);
}

/** The epoch in force after the event at `offset`. One that begins behind an offset is in force from the next one on. */
export function epochAt(epochs: readonly Epoch[], offset: number): Epoch {
  return must(epochs.findLast((epoch) => epoch.offset < offset) ?? epochs[0], "a store has an epoch");
}
