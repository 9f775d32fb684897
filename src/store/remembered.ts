/**
 * What the one connection that writes a file need not look up again: ids of values and of types, and which predicates have tables. Nobody else can
 * change them, and they change by being added alone; what was added in a transaction that is rolled back is forgotten with all the rest.
 */
import type { SqlDatabase } from "../runtime/sqlite.ts";

export interface Remembered {
  /** By type and value; null where the store does not have the value. */
  readonly values: Map<string, Map<string, number | null>>;
  readonly types: Map<string, number>;
  /** The last id given to a value of each type, by the type's number. */
  readonly lastIds: Map<number, number>;
  /** By predicate and arity. */
  readonly relations: Map<string, number>;
  /** Of how many rows of a fact table something is the same, by what that is and by the ids; none that were not all counted. */
  readonly sameRows: Map<string, Map<number | string, number>>;
  /** The degrees of fact tables (`degrees.ts`), by table, columns and kinds. */
  readonly most: Map<string, number>;
  /** How many values and counts there are. */
  count: number;
}

interface Kept {
  readonly remembered: Remembered;
  rollbacks: number;
}

const entriesMax = 200_000;

const connections = new WeakMap<SqlDatabase, Kept>();

/** To be called for a connection that alone writes its file. */
export function rememberIds(database: SqlDatabase): void {
  const remembered: Remembered = {
    values: new Map(),
    types: new Map(),
    lastIds: new Map(),
    relations: new Map(),
    sameRows: new Map(),
    most: new Map(),
    count: 0,
  };
  connections.set(database, { remembered, rollbacks: database.rollbacks });
}

/** `undefined` where nothing is remembered, since others may write. */
export function rememberedOf(database: SqlDatabase): Remembered | undefined {
  const kept = connections.get(database);
  if (kept === undefined) return undefined;
  const { remembered } = kept;
  if (kept.rollbacks !== database.rollbacks || remembered.count > entriesMax) {
    kept.rollbacks = database.rollbacks;
    forget(remembered);
  }
  return remembered;
}

/** To be called when rows of fact tables have gone. */
export function forgetSameRows(database: SqlDatabase): void {
  connections.get(database)?.remembered.sameRows.clear();
}

/** To be called when degrees were computed anew. */
export function forgetDegrees(database: SqlDatabase): void {
  connections.get(database)?.remembered.most.clear();
}

function forget(remembered: Remembered): void {
  remembered.values.clear();
  remembered.types.clear();
  remembered.lastIds.clear();
  remembered.relations.clear();
  remembered.sameRows.clear();
  remembered.most.clear();
  remembered.count = 0;
}
