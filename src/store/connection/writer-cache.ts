/**
 * What the one connection that writes a file need not look up again: ids of values and of types, and which predicates have tables. Nobody else can
 * change them, and they change by being added alone; what was added in a transaction that is rolled back is forgotten with all the rest.
 */
import type { Connection } from "../../runtime/sqlite.ts";

export interface WriterCache {
  /** By type and value; null where the store does not have the value. */
  readonly values: Map<string, Map<string, number | null>>;
  readonly types: Map<string, number>;
  /** The last id given to a value of each type, by the type's number. */
  readonly lastIds: Map<number, number>;
  /** By predicate and arity. */
  readonly relations: Map<string, number>;
  /** Of how many rows of a fact table something is the same, by what that is and by the ids; none that were not all counted. */
  readonly rowCounts: Map<string, Map<number | string, number>>;
  /** The degrees of fact tables (`degrees.ts`), by table, columns and kinds. */
  readonly maxRows: Map<string, number>;
  /** How many values and counts there are. */
  entries: number;
}

interface CachedByWriter {
  readonly remembered: WriterCache;
  rollbacks: number;
}

const entriesMax = 200_000;

const connections = new WeakMap<Connection, CachedByWriter>();

/** To be called for a connection that alone writes its file. */
export function enableWriterCache(database: Connection): void {
  const remembered: WriterCache = {
    values: new Map(),
    types: new Map(),
    lastIds: new Map(),
    relations: new Map(),
    rowCounts: new Map(),
    maxRows: new Map(),
    entries: 0,
  };
  connections.set(database, { remembered, rollbacks: database.rollbacks });
}

/** `undefined` where nothing is remembered, since others may write. */
export function writerCacheOf(database: Connection): WriterCache | undefined {
  const kept = connections.get(database);
  if (kept === undefined) return undefined;
  const { remembered } = kept;
  if (kept.rollbacks !== database.rollbacks || remembered.entries > entriesMax) {
    kept.rollbacks = database.rollbacks;
    forget(remembered);
  }
  return remembered;
}

/** To be called when rows of fact tables have gone. */
export function forgetRowCounts(database: Connection): void {
  connections.get(database)?.remembered.rowCounts.clear();
}

/** To be called when degrees were computed anew. */
export function forgetMaxRows(database: Connection): void {
  connections.get(database)?.remembered.maxRows.clear();
}

function forget(remembered: WriterCache): void {
  remembered.values.clear();
  remembered.types.clear();
  remembered.lastIds.clear();
  remembered.relations.clear();
  remembered.rowCounts.clear();
  remembered.maxRows.clear();
  remembered.entries = 0;
}
