/**
 * The epochs of a store's history. An epoch identifies the events that one primary wrote without interruption. A
 * promotion or a restore begins a new epoch, which continues the history up to that offset. So the epochs determine
 * which positions a history contains.
 */
import type { Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";

/** The identity of an epoch, and the counter that orders epochs. */
export interface EpochId {
  readonly epoch: string;
  /** A later epoch has a higher term (`terms.ts`). Two epochs that begin without votes may have the same term. */
  readonly term: number;
}

export interface Epoch extends EpochId {
  /** Where the epoch begins: the last offset of the epoch before, and the chain hash there. */
  readonly offset: number;
  readonly hash: string;
  /** When it began, in ms since 1970; 0 if unknown. */
  readonly timeMs: number;
}

/** Negative if `one` is earlier, 0 if both are the same. With equal terms the names decide, so all nodes agree. */
export function compareEpochs(one: EpochId, other: EpochId): number {
  return one.term - other.term || (one.epoch === other.epoch ? 0 : one.epoch < other.epoch ? -1 : 1);
}

/** The epochs, oldest first. The last one is the current epoch. */
export function readEpochs(database: Connection): Epoch[] {
  // Each head contains them, so the statement is prepared once.
  const rows = database.statement("SELECT term, epoch, offset, hash, time_ms FROM epoch ORDER BY term").values();
  return rows.map(([term, epoch, offset, hash, timeMs]) => ({
    ...{ term: Number(term), epoch: String(epoch), offset: Number(offset), hash: String(hash) },
    timeMs: Number(timeMs),
  }));
}

/** Restores, promotions and trims keep the first epoch: histories have a common beginning if and only if it is equal. */
export function firstEpoch(database: Connection): Epoch {
  return must(readEpochs(database)[0], "a store has an epoch");
}

/** Begins an epoch: it becomes the current one of the store. */
export function beginEpoch(database: Connection, { epoch, term, offset, hash, timeMs }: Epoch): void {
  const insert = "INSERT INTO epoch (epoch, term, offset, hash, time_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
  database.statement(insert).run(epoch, term, offset, hash, timeMs);
  database.statement("UPDATE state SET epoch = ?1, term = ?2 WHERE one = 1").run(epoch, term);
}

/** Removes the current epoch, and returns the one before. Throws if there is only one, or another is current. */
export function removeLastEpoch(database: Connection, epoch: string): Epoch {
  const epochs = readEpochs(database);
  const [before, last] = epochs.slice(-2);
  if (before === undefined || last?.epoch !== epoch) throw new Error(`${epoch} is not the last of several epochs`);
  database.statement("DELETE FROM epoch WHERE epoch = ?1").run(epoch);
  database.statement("UPDATE state SET epoch = ?1, term = ?2 WHERE one = 1").run(before.epoch, before.term);
  return before;
}

/** Whether a history with the last offset `end` contains an offset of an epoch; undefined if it lacks the epoch. */
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

/** The epoch of the event at `offset`. An epoch that begins behind an offset applies from the next event on. */
export function epochAt(epochs: readonly Epoch[], offset: number): Epoch {
  return must(epochs.findLast((epoch) => epoch.offset < offset) ?? epochs[0], "a store has an epoch");
}
