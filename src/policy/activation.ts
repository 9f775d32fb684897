/** The active policy of a store, compiled once for each connection. */
import type { CatalogueKey, Connection } from "../store/connection/connection.ts";
import { readState } from "../store/log/store-state.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { activate, type ActivePolicy } from "./active-policy.ts";

/** A policy that became active. It is another object whenever all queries have to be planned again. */
export interface Activation {
  readonly active: ActivePolicy;
  readonly stamp: number;
}

interface CachedActivation extends Activation, PolicyText {}

/** The policy that answers instead of the stored one. */
const draftActivation: CatalogueKey<Activation> = { name: "draft policy" };
const cachedActivation: CatalogueKey<CachedActivation> = { name: "active policy" };

/**
 * Makes a policy that is not stored the active one for this connection, which must only read. The store may lack its
 * predicates, types and constants.
 */
export function answerUnder(database: Connection, active: ActivePolicy): void {
  database.catalogue.set(draftActivation, { active, stamp: 0 });
}

/** Whether a policy that is not stored answers. */
export function answersUnderDraft(database: Connection): boolean {
  return database.catalogue.get(draftActivation) !== undefined;
}

/** The policy that is active for this connection; `undefined` if none was loaded. */
export function activationOf(database: Connection): Activation | undefined {
  return snapshotState(database).activation;
}

/**
 * As `activationOf`, but `undefined` if this version cannot use the policy. Facts can still be written under such a
 * policy.
 */
export function usableActivation(database: Connection): Activation | undefined {
  try {
    return activationOf(database);
  } catch (error) {
    if (error instanceof AppError && error.code === "not_ready") return undefined;
    throw error;
  }
}

/** Which state of the data an answer belongs to. `policyId` is 0 without a policy. */
export interface AnswerPosition {
  readonly epoch: string;
  readonly offset: number;
  readonly policyId: number;
}

export interface SnapshotState {
  readonly position: AnswerPosition;
  readonly activation: Activation | undefined;
  readonly version: number;
  readonly statisticsStamp: number;
}

/** The state that this connection sees: the active policy, the number of changes, and the stamp of the statistics. */
export function snapshotState(database: Connection): SnapshotState {
  const row = must(
    database.statement("SELECT policy_id, plan_stamp, version, degree_stamp, epoch, offset FROM state").values()[0],
    "the store has no state",
  );
  const policyId = Number(row[0]);
  return {
    position: { epoch: String(row[4]), offset: Number(row[5]), policyId },
    activation: database.catalogue.get(draftActivation) ?? activationFor(database, policyId, Number(row[1])),
    version: Number(row[2]),
    statisticsStamp: Number(row[3]),
  };
}

function activationFor(database: Connection, id: number, stamp: number): Activation | undefined {
  const known = database.catalogue.get(cachedActivation);
  if (known && known.stamp === stamp && stamp !== 0) return known;
  if (id === 0) return undefined;
  const current = { ...must(storedTextOf(database, id), "the active policy is missing"), stamp };
  if (known?.source === current.source && known.filename === current.filename && known.stamp === stamp) return known;
  const activation = { ...current, active: activate(current.source, current.filename) };
  database.catalogue.set(cachedActivation, activation);
  return activation;
}

interface PolicyText {
  readonly source: string;
  readonly filename: string | null;
}

function storedTextOf(database: Connection, id: number): PolicyText | undefined {
  const [row] = database.statement("SELECT source, filename FROM policy WHERE id = ?1").values(id);
  if (row === undefined) return undefined;
  const [source, file] = row;
  return { source: String(source), filename: file === null ? null : String(file) };
}

/** What `activate` gets for the active policy; undefined without one. */
export function activeTextOf(database: Connection): PolicyText | undefined {
  const { policyId } = readState(database);
  return storedTextOf(database, policyId);
}

/** Makes all connections plan every query again, from the commit of the current transaction on. */
export function invalidatePlans(database: Connection): void {
  // A random number instead of a counter: a number that was rolled back must not come again.
  database.statement("UPDATE state SET plan_stamp = 1 + abs(random() % 9007199254740990)").run();
}
