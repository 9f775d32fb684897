/**
 * Materialized closures: transitive closures of steps as tables. They are filled when a policy becomes active, and
 * updated with each fact in the transaction of that fact.
 *
 * A new pair of a step joins everything that reaches its start with everything that its end reaches. A removed pair
 * deletes all rows that may have depended on it; rows that have another path are found again by walking from the
 * affected starts alone, until the walk reaches rows that are still known. Both updates are exact with cycles and with
 * several paths, and cost about as much as they change. Beyond a limit a closure is abandoned, and queries walk the
 * facts instead.
 */
import type { Limits } from "../../config/limits.ts";
import type { Closure, ClosureStep } from "../../datalog/ir/closure.ts";
import { predicateKey, splitKey } from "../../datalog/ir/program.ts";
import type { SqlCatalogue } from "../../datalog/ir/select.ts";
import type { SqlStatement } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import {
  addClosureRows,
  type ClosureTable,
  closureTables,
  createClosureTable,
  dropClosureTable,
  emptyClosureTable,
} from "../../store/facts/closure-tables.ts";
import { factTable } from "../../store/facts/fact-tables.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { findSymbol, findTypeId, symbolRange } from "../../store/facts/symbols.ts";
import type { StatisticsUpdate } from "../../store/statistics/statistics-update.ts";
import { dropStatistics } from "../../store/statistics/table-statistics.ts";
import { must } from "../../util/assert.ts";
import { type Activation, invalidatePlans, usableActivation } from "../policy/activation.ts";
import { jsonParameter } from "../request/json-parameter.ts";
import { ClosureSql, type Pair, type Parametrised, scratchTableNames, scratchTables } from "./closure-sql.ts";
import { closuresOf } from "./policy-closures.ts";

/** An atom of a step that a fact can match. */
interface FactOccurrence {
  readonly materialized: MaterializedClosure;
  readonly step: ClosureStep;
  readonly index: number;
  readonly pairs: Parametrised;
}

interface MaterializedClosure {
  readonly table: ClosureTable;
  readonly sql: ClosureSql;
}

/** The materialized closures of the active policy on the writing connection. */
export class Closures {
  readonly #database: Connection;
  readonly #occurrences: ReadonlyMap<string, readonly FactOccurrence[]>;

  private constructor(database: Connection, activation: Activation | undefined, limits: Limits) {
    this.#database = database;
    const tables = new Map(closureTables(database).map((table) => [table.name, table]));
    const occurrences = (activation ? closuresOf(activation.active, limits) : []).flatMap((closure) => {
      const table = tables.get(closure.name);
      return table?.isMaterialized ? occurrencesIn(closure, { table, sql: sqlFor(database, closure, table) }) : [];
    });
    this.#occurrences = Map.groupBy(occurrences, ({ step, index }) => must(step.atoms[index]).predicate);
  }

  /** Cached as long as the policy and its closures stay the same. */
  static of(database: Connection, limits: Limits): Closures {
    const activation = usableActivation(database);
    const known = cachedClosures.get(database);
    if (known && known.activation === activation) return known.closures;
    const closures = new Closures(database, activation, limits);
    cachedClosures.set(database, { activation, closures });
    return closures;
  }

  /** The pairs that steps make of the fact. */
  pairsOver(fact: Fact): FactPair[] {
    const occurrences = this.#occurrences.get(predicateKey(fact.predicate, fact.args.length));
    if (!occurrences) return [];
    return occurrences.flatMap((occurrence) =>
      fits(occurrence, fact)
        ? this.#pairs(occurrence, fact).map((pair) => ({ materialized: occurrence.materialized, pair }))
        : [],
    );
  }

  #pairs({ step, index, pairs }: FactOccurrence, fact: Fact): Pair[] {
    const ids = new Map<number, number>();
    must(step.atoms[index]).args.forEach((arg, position) => {
      if (arg.kind === "var") ids.set(arg.index, must(findSymbol(this.#database, must(fact.args[position]))));
    });
    const [from, to] = [ids.get(0), ids.get(1)];
    if (step.atoms.length === 1 && from !== undefined && to !== undefined) return [[from, to]];
    const rows = this.#database.statement(pairs.sql).values(...pairs.variables.map((number) => must(ids.get(number))));
    return rows.map((row) => [Number(row[0]), Number(row[1])]);
  }
}

interface CachedClosures {
  readonly activation: Activation | undefined;
  readonly closures: Closures;
}

const cachedClosures = new WeakMap<Connection, CachedClosures>();

export interface FactPair {
  readonly materialized: MaterializedClosure;
  readonly pair: Pair;
}

/** Of the gathered symbols, each start with one end of each type, and each end with one start of each type. */
const oneOfEach = `SELECT f.c0, t.c0 FROM closure_from AS f CROSS JOIN (SELECT min(c0) AS c0 FROM closure_to GROUP BY c0 >> 32) AS t
  UNION SELECT f.c0, t.c0 FROM (SELECT min(c0) AS c0 FROM closure_from GROUP BY c0 >> 32) AS f CROSS JOIN closure_to AS t`;

/**
 * The changes of one event to the closures. Nothing of it outlives the event, because its transaction may be rolled
 * back.
 */
export class ClosureChange {
  readonly #database: Connection;
  readonly #limits: Limits;
  readonly #closures: Closures;
  readonly #statistics: StatisticsUpdate;
  /** The number of rows that each closure gained. */
  readonly #rowsGained = new Map<MaterializedClosure, number>();
  readonly #abandoned = new Set<MaterializedClosure>();
  /** On the clock of `performance.now()`. */
  readonly #endMs: number;
  #hasScratchTables = false;

  constructor(database: Connection, limits: Limits, statistics: StatisticsUpdate) {
    this.#database = database;
    this.#limits = limits;
    this.#endMs = performance.now() + limits.closureTimeMsMax;
    this.#statistics = statistics;
    this.#closures = Closures.of(database, limits);
  }

  /** Call it after the fact was inserted. */
  add(fact: Fact): void {
    for (const { materialized, pair } of this.#closures.pairsOver(fact))
      if (!this.#abandoned.has(materialized)) this.#addPair(materialized, pair);
  }

  /** The pairs that may be lost with a fact. Call it before the fact is deleted. */
  pairsLostWith(fact: Fact): FactPair[] {
    return this.#closures.pairsOver(fact);
  }

  /** Call it after the fact was deleted, with the result of `pairsLostWith`. */
  remove(lost: readonly FactPair[]): void {
    for (const { materialized, pair } of lost)
      if (!this.#abandoned.has(materialized) && !this.#holds(materialized, pair)) this.#removePair(materialized, pair);
  }

  /** Call it once after all changes. */
  finish(): void {
    for (const [materialized, grown] of this.#rowsGained) {
      if (addClosureRows(this.#database, materialized.table, grown) > this.#limits.closureRowsMax)
        this.#abandoned.add(materialized);
    }
    for (const { table } of this.#abandoned) emptyClosureTable(this.#database, table);
    if (this.#abandoned.size > 0) invalidatePlans(this.#database);
  }

  #holds({ sql }: MaterializedClosure, [from, to]: Pair): boolean {
    return this.#run(sql.stepHolds).values(from, to)[0]?.[0] === 1;
  }

  #addPair(materialized: MaterializedClosure, [from, to]: Pair): void {
    const { sql } = materialized;
    if (this.#run(sql.contains).values(from, to).length > 0) return;
    if (this.#isPastDeadline()) return void this.#abandoned.add(materialized);
    this.#createScratchTables();
    const starts = this.#run(sql.gatherNewFrom).run(from, to);
    const ends = this.#run(sql.gatherTo).run(to);
    if (this.#exceedsLimit(starts * ends)) this.#abandoned.add(materialized);
    else {
      this.#addRows(materialized, this.#run(sql.join).run());
      // The statistics count rows with equal columns, so it is enough to look at each start with one end and each end
      // with one start.
      for (const row of this.#run(oneOfEach).values())
        this.#statistics.sampleRow(materialized.table.table, row.map(Number));
    }
    this.#clearScratchTables();
  }

  #removePair(materialized: MaterializedClosure, [from, to]: Pair): void {
    const { sql } = materialized;
    if (this.#isPastDeadline()) return void this.#abandoned.add(materialized);
    this.#createScratchTables();
    const starts = this.#run(sql.gatherFrom).run(from);
    const ends = this.#run(sql.gatherTo).run(to);
    if (this.#exceedsLimit(starts * ends)) this.#abandoned.add(materialized);
    else {
      this.#addRows(materialized, -this.#run(sql.part).run());
      if (this.#exceedsLimit(this.#run(sql.walk).run(this.#limits.closureUpdateRowsMax + 1)))
        this.#abandoned.add(materialized);
      else this.#addRows(materialized, this.#run(sql.rejoin).run());
    }
    this.#clearScratchTables();
  }

  /** Runs for each event: a rollback removes tables that the transaction created. */
  #createScratchTables(): void {
    if (this.#hasScratchTables) return;
    this.#database.exec(scratchTables);
    this.#hasScratchTables = true;
  }

  /** Many facts of one event may each change many rows, and other writes wait meanwhile. */
  #isPastDeadline(): boolean {
    return performance.now() > this.#endMs;
  }

  #exceedsLimit(rows: number): boolean {
    return rows > this.#limits.closureUpdateRowsMax;
  }

  #addRows(materialized: MaterializedClosure, rows: number): void {
    this.#rowsGained.set(materialized, (this.#rowsGained.get(materialized) ?? 0) + rows);
    this.#statistics.addRowCount(materialized.table.table, rows);
  }

  #clearScratchTables(): void {
    for (const table of scratchTableNames) this.#run(`DELETE FROM ${table}`).run();
  }

  #run(sql: string): SqlStatement {
    return this.#database.statement(sql);
  }
}

/** Whether other writes wait: then a closure that takes longer than `closureTimeMsMax` is not filled. */
export type FillTime = "bounded" | "unbounded";

/**
 * Makes the materialized closures match the active policy: fills missing ones and drops others. With `retry`, abandoned
 * closures are tried again. Runs inside the caller's transaction.
 */
export function refreshClosures(
  database: Connection,
  limits: Limits,
  retry: boolean,
  fillTime: FillTime = "unbounded",
): void {
  const endMs = performance.now() + limits.closureTimeMsMax;
  const activation = usableActivation(database);
  const wanted = new Map(
    (activation ? closuresOf(activation.active, limits) : []).map((closure) => [closure.name, closure]),
  );
  let isChanged = false;
  for (const table of closureTables(database)) {
    if (wanted.has(table.name) && (table.isMaterialized || !retry)) wanted.delete(table.name);
    else {
      dropClosureTable(database, table);
      dropStatistics(database, table.table);
      isChanged = true;
    }
  }
  for (const [name, closure] of wanted) {
    const table = createClosureTable(database, name);
    const isFilled =
      fillTime === "bounded"
        ? fillUntil(endMs, database, closure, table, limits)
        : fill(database, closure, table, limits);
    if (!isFilled) emptyClosureTable(database, table);
    isChanged = true;
  }
  if (isChanged) invalidatePlans(database);
}

/** Returns false if the closure is too large to be materialized. */
function fill(database: Connection, closure: Closure, table: ClosureTable, limits: Limits): boolean {
  if (closure.steps.length > stepsMax) return false;
  const rows = database.prepare(sqlFor(database, closure, table).fill).run(limits.closureRowsMax + 1);
  addClosureRows(database, table, rows);
  return rows <= limits.closureRowsMax;
}

/**
 * As `fill`, but a few starts at a time, so that it can stop: a running SQLite statement cannot be interrupted. The
 * closure of a chain of 3,000 folders has 5 million rows and takes a minute, during which nothing else can be written.
 */
function fillUntil(
  endMs: number,
  database: Connection,
  closure: Closure,
  table: ClosureTable,
  { closureRowsMax }: Limits,
): boolean {
  if (closure.steps.length > stepsMax) return false;
  const sql = sqlFor(database, closure, table);
  database.exec(scratchTables);
  const starts = database.prepare(sql.starts).values(closureRowsMax + 1);
  if (starts.length > closureRowsMax) return false;
  const gather = database.prepare("INSERT OR IGNORE INTO closure_from SELECT value FROM json_each(?1)");
  const fillFrom = database.prepare(sql.fillFrom);
  let rows = 0;
  let batchSize = 1;
  try {
    for (let first = 0; first < starts.length; first += batchSize) {
      const startMs = performance.now();
      if (startMs > endMs || rows > closureRowsMax) return false;
      database.exec("DELETE FROM closure_from");
      batchSize = Math.min(2 * batchSize, startsPerBatchMax);
      gather.run(jsonParameter(starts.slice(first, first + batchSize).map(([id]) => Number(id))));
      rows += fillFrom.run(closureRowsMax + 1 - rows);
    }
  } finally {
    database.exec("DELETE FROM closure_from");
  }
  addClosureRows(database, table, rows);
  return rows <= closureRowsMax;
}

/** Filling from so many starts takes about 10 ms if each reaches a few dozen rows. */
const startsPerBatchMax = 64;

/** SQLite accepts 500 SELECTs in one statement, and filling a table takes two of them for each step. */
const stepsMax = 200;

/** Creates all closures again for an empty store, including abandoned ones. */
export function clearClosures(database: Connection, limits: Limits): void {
  for (const table of closureTables(database)) {
    dropClosureTable(database, table);
    dropStatistics(database, table.table);
  }
  refreshClosures(database, limits, true);
}

/**
 * Describes a difference between a closure's table and the facts; `undefined` if there is none. Computes all closures
 * again.
 */
export function findClosureDamage(database: Connection, limits: Limits): string | undefined {
  const activation = usableActivation(database);
  const tables = new Map(closureTables(database).map((table) => [table.name, table]));
  for (const closure of activation ? closuresOf(activation.active, limits) : []) {
    const table = tables.get(closure.name);
    if (!table?.isMaterialized) continue;
    const { all } = sqlFor(database, closure, table);
    const [row] = database
      .prepare(
        `SELECT count(*), count(t.a1), (SELECT count(*) FROM ${table.table}) FROM (${all}) AS w
         LEFT JOIN ${table.table} AS t ON t.a1 = w.c0 AND t.a2 = w.c1`,
      )
      .values(Number.MAX_SAFE_INTEGER);
    const [wanted, found, rows] = must(row).map(Number) as [number, number, number];
    const [missing, surplus] = [wanted - found, rows - found];
    if (missing !== 0 || surplus !== 0 || rows !== table.rows)
      return `the table ${table.table} was damaged: ${missing} rows were missing, ${surplus} too many, ${rows} of ${table.rows} there`;
  }
  return undefined;
}

function sqlFor(database: Connection, closure: Closure, { table }: ClosureTable): ClosureSql {
  const names: SqlCatalogue = {
    hasIndex: () => false,
    rowsMax: () => Number.POSITIVE_INFINITY,
    factTable: (predicate) => factTable(database, ...splitKey(predicate)),
    idOf: (value) => findSymbol(database, value) ?? -1,
    idRange: (type) => {
      const number = findTypeId(database, type);
      return number === undefined ? { low: 0, high: -1 } : symbolRange(number);
    },
  };
  return new ClosureSql(closure, table, names);
}

function occurrencesIn(closure: Closure, materialized: MaterializedClosure): FactOccurrence[] {
  return closure.steps.flatMap((step) =>
    step.atoms.map((_, index) => ({ materialized, step, index, pairs: materialized.sql.pairsOver(step, index) })),
  );
}

function fits({ step, index }: FactOccurrence, fact: Fact): boolean {
  const values = new Map<number, Value>();
  return must(step.atoms[index]).args.every((arg, position) => {
    const value = must(fact.args[position]);
    if (arg.kind === "const") return arg.value.type === value.type && arg.value.id === value.id;
    const type = step.types[arg.index];
    if (type !== undefined && type !== value.type) return false;
    const earlier = values.getOrInsert(arg.index, value);
    return earlier.type === value.type && earlier.id === value.id;
  });
}
