/** The active policy of a store, compiled once for each connection. */
import type { Connection } from "../../store/connection/connection.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { activate, type ActivePolicy } from "./active-policy.ts";

/** A policy that became active. It is another object whenever all queries have to be planned again. */
export interface Activation {
  readonly active: ActivePolicy;
  readonly stamp: number;
}

interface CachedActivation extends Activation {
  readonly source: string;
  readonly filename: string | null;
}

const activations = new WeakMap<Connection, CachedActivation>();

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

export interface SnapshotState {
  readonly activation: Activation | undefined;
  readonly version: number;
  readonly statisticsStamp: number;
}

/** The state that this connection sees: the active policy, the number of changes, and the stamp of the statistics. */
export function snapshotState(database: Connection): SnapshotState {
  const row = must(
    database.statement("SELECT policy_id, plan_stamp, version, degree_stamp FROM state").values()[0],
    "the store has no state",
  );
  return {
    activation: activationFor(database, Number(row[0]), Number(row[1])),
    version: Number(row[2]),
    statisticsStamp: Number(row[3]),
  };
}

function activationFor(database: Connection, id: number, stamp: number): Activation | undefined {
  const known = activations.get(database);
  if (known && known.stamp === stamp && stamp !== 0) return known;
  if (id === 0) return undefined;
  const [source, filename] = must(
    database.statement("SELECT source, filename FROM policy WHERE id = ?1").values(id)[0],
    "the active policy is missing",
  ).map((text) => (text === null ? null : String(text)));
  const current = { source: must(source), filename: filename ?? null, stamp };
  const isSame = known?.source === current.source && known.filename === current.filename;
  if (isSame && known.stamp === stamp) return known;
  const activation = { ...current, active: activate(current.source, current.filename) };
  activations.set(database, activation);
  return activation;
}

/** Makes all connections plan every query again, from the commit of the current transaction on. */
export function invalidatePlans(database: Connection): void {
  // A random number instead of a counter: a number that was rolled back must not come again.
  database.statement("UPDATE state SET plan_stamp = 1 + abs(random() % 9007199254740990)").run();
}
