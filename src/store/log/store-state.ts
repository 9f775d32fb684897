/**
 * Where this copy stands: one row, read by everybody, advanced only in the transaction that changes what it describes. `epoch`, `offset` and
 * `hash` say which history this copy has, `digest` and `policyId` (kept by `engine/state/apply.ts`) which state came out of it.
 */
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { Connection } from "../connection/connection.ts";
import { beginEpoch } from "./epochs.ts";
import * as schema from "../connection/schema.ts";
import { firstTerm } from "./terms.ts";

export interface StoreState {
  readonly environment: string;
  readonly epoch: string;
  /** Orders the epochs of an environment (`compareEpochs`, `terms.ts`). */
  readonly term: number;
  /** Of the last event that this copy contains; 0 before the first. */
  readonly offset: number;
  /** Chain hash over all events up to `offset`. */
  readonly hash: string;
  /** Time of commit of that event on the primary. */
  readonly timeMs: number;
  /** Set hash of all facts, keys and the active policy. */
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

/** The state, or `undefined` in a file that holds none yet. */
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

/** Starts a history: no events, no policy. */
export function createState(database: Connection, environment: string, epoch: string, term = firstTerm): StoreState {
  const origin = { epoch, term, offset: 0, hash: zeroHash, timeMs: 0 };
  database.orm
    .insert(schema.state)
    .values({ ...origin, one: 1, environment, digest: zeroHash, policyId: 0 })
    .run();
  beginEpoch(database, origin);
  return readState(database);
}

/** Moves the position on. `digest` and `policyId` are not touched: they belong to `applyEvent`. Gives the digest. */
export function advanceState(
  database: Connection,
  next: { readonly offset: number; readonly hash: string; readonly timeMs: number },
): string {
  const { offset, hash, timeMs } = next;
  return String(must(database.statement(updatePosition).values(offset, hash, timeMs)[0], "the store has a state")[0]);
}

/** Refuses a file of another environment: its facts would answer questions that were never asked of them. */
export function requireEnvironment(state: Pick<StoreState, "environment">, environment: string): void {
  if (state.environment === environment) return;
  throw new AppError(
    "conflict",
    `the data belongs to environment \`${state.environment}\`, this node is configured for \`${environment}\``,
  );
}
