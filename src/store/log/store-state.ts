/**
 * The position of a store: one row, which only the transaction that applies an event changes. `epoch`, `offset` and
 * `hash` identify the history; `digest` and `policyId` (written by `log/state/apply.ts`) describe the state that the
 * history has led to.
 */
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { Connection } from "../connection/connection.ts";
import { beginEpoch, epochAt, readEpochs } from "./epochs.ts";
import * as schema from "../connection/schema.ts";
import { firstTerm } from "./terms.ts";

export interface StoreState {
  readonly environment: string;
  readonly epoch: string;
  /** The term of the epoch (`terms.ts`). */
  readonly term: number;
  /** The offset of the last event that the store contains; 0 before the first one. */
  readonly offset: number;
  /** The chain hash of all events up to `offset`. */
  readonly hash: string;
  /** When the primary committed that event. */
  readonly timeMs: number;
  /** The set hash of all facts, keys and the active policy. */
  readonly digest: string;
  /** 0 while no policy is active. */
  readonly policyId: number;
}

/** The chain hash before the first event, and the digest of a state without facts, keys and policy. */
export const zeroHash = "0000000000000000";

const selectState =
  "SELECT environment, epoch, offset, hash, time_ms, digest, policy_id, term FROM state WHERE one = 1";
const updatePosition = "UPDATE state SET offset = ?1, hash = ?2, time_ms = ?3 WHERE one = 1 RETURNING digest";

export function readState(database: Connection): StoreState {
  return must(findState(database), "the state row is missing");
}

/** The state; undefined in a file that has none yet. */
export function findState(database: Connection): StoreState | undefined {
  const row = database.statement(selectState).values()[0];
  if (row === undefined) return undefined;
  return {
    environment: String(row[0]),
    epoch: String(row[1]),
    offset: Number(row[2]),
    hash: String(row[3]),
    timeMs: Number(row[4]),
    digest: String(row[5]),
    policyId: Number(row[6]),
    term: Number(row[7]),
  };
}

/** Begins a history without events and policy. */
export function createState(database: Connection, environment: string, epoch: string, term = firstTerm): StoreState {
  const origin = { epoch, term, offset: 0, hash: zeroHash, timeMs: 0 };
  database.orm
    .insert(schema.state)
    .values({ ...origin, one: 1, environment, digest: zeroHash, policyId: 0 })
    .run();
  beginEpoch(database, origin);
  return readState(database);
}

/** Advances the position, and returns the digest. `applyEvent` writes `digest` and `policyId`. */
export function advanceState(
  database: Connection,
  { offset, hash, timeMs }: Pick<StoreState, "offset" | "hash" | "timeMs">,
): string {
  return String(must(database.statement(updatePosition).values(offset, hash, timeMs)[0], "the store has a state")[0]);
}

/** The revision of the data: the position of the last event that may have changed them. */
export interface Revision {
  readonly epoch: string;
  readonly offset: number;
}

/**
 * An event that begins a term changes the position but not the data, so results of a revision stay valid when the
 * primary restarts. The position of the store itself if the log has no other events.
 */
export function readRevision(database: Connection): Revision {
  const { epoch, offset } = readState(database);
  if (database.number("SELECT kind = 'epoch' FROM log WHERE offset = ?1", offset) !== 1) return { epoch, offset };
  const changed = database.number("SELECT offset FROM log WHERE kind <> 'epoch' ORDER BY offset DESC LIMIT 1");
  if (changed === undefined) return { epoch, offset };
  return { epoch: epochAt(readEpochs(database), changed).epoch, offset: changed };
}

/** Throws if the file belongs to another environment. */
export function requireEnvironment(state: Pick<StoreState, "environment">, environment: string): void {
  if (state.environment === environment) return;
  throw new AppError(
    "conflict",
    `the data belongs to environment \`${state.environment}\`, this node is configured for \`${environment}\``,
  );
}
