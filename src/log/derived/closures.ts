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
import type { CatalogueKey, Connection } from "../../store/connection/connection.ts";
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
import { closureStartsPerStatement } from "../../util/tuning.ts";
import { type Activation, invalidatePlans, usableActivation } from "../../policy/activation.ts";
import { jsonParameter } from "../../store/connection/json-parameter.ts";
import {
  type ClosureSql,
  closureSql,
  type Pair,
  pairsOver,
  type Parametrised,
  scratchTableNames,
  scratchTables,
} from "./closure-sql.ts";
import { closuresOf } from "./policy-closures.ts";

interface MaterializedClosure {
  readonly table: ClosureTable;
  readonly sql: ClosureSql;
}

/** An atom of a step that a fact can match. */
interface FactOccurrence {
  readonly materialized: MaterializedClosure;
  readonly step: ClosureStep;
  readonly index: number;
  readonly pairs: Parametrised;
}

/** The occurrences in the materialized closures of the active policy, by predicate key. */
type Occurrences = ReadonlyMap<string, readonly FactOccurrence[]>;

interface CachedOccurrences {
  readonly activation: Activation | undefined;
  readonly occurrences: Occurrences;
}

const cachedOccurrences: CatalogueKey<CachedOccurrences> = { name: "closures" };

/** Cached as long as the policy and its closures stay the same. */
function occurrencesOf(database: Connection, limits: Limits): Occurrences {
  const activation = usableActivation(database);
  const known = database.catalogue.get(cachedOccurrences);
  if (known && known.activation === activation) return known.occurrences;
  const catalogue = catalogueOf(database);
  const tables = tablesByName(database);
  const all = closuresUnder(activation, limits).flatMap((closure): FactOccurrence[] => {
    const table = tables.get(closure.name);
    if (!table?.isMaterialized) return [];
    const materialized = { table, sql: closureSql(closure, table.table, catalogue) };
    return closure.steps.flatMap((step) =>
      step.atoms.map((_, index) => ({ materialized, step, index, pairs: pairsOver(step, index, catalogue) })),
    );
  });
  const occurrences = Map.groupBy(all, ({ step, index }) => must(step.atoms[index]).predicate);
  database.catalogue.set(cachedOccurrences, { activation, occurrences });
  return occurrences;
}

function closuresUnder(activation: Activation | undefined, limits: Limits): readonly Closure[] {
  return activation ? closuresOf(activation.active, limits) : [];
}

function tablesByName(database: Connection): Map<string, ClosureTable> {
  return new Map(closureTables(database).map((table) => [table.name, table]));
}

/** A pair that a step of the closure makes. */
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
  readonly #occurrences: Occurrences;
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
    this.#occurrences = occurrencesOf(database, limits);
  }

  /** The pairs that steps make of the stored fact. */
  pairsOver(fact: Fact): FactPair[] {
    const occurrences = this.#occurrences.get(predicateKey(fact.predicate, fact.args.length)) ?? [];
    return occurrences
      .filter((occurrence) => fits(occurrence, fact))
      .flatMap((occurrence) => this.#pairs(occurrence, fact));
  }

  #pairs({ materialized, step, index, pairs }: FactOccurrence, fact: Fact): FactPair[] {
    const ids = new Map<number, number>();
    must(step.atoms[index]).args.forEach((arg, position) => {
      if (arg.kind === "var") ids.set(arg.index, must(findSymbol(this.#database, must(fact.args[position]))));
    });
    const [from, to] = [ids.get(0), ids.get(1)];
    if (step.atoms.length === 1 && from !== undefined && to !== undefined) return [{ materialized, pair: [from, to] }];
    const rows = this.#run(pairs.sql).values(...pairs.variables.map((number) => must(ids.get(number))));
    return rows.map((row) => ({ materialized, pair: [Number(row[0]), Number(row[1])] }));
  }

  /** Call it after the fact was inserted. */
  add(fact: Fact): void {
    for (const { materialized, pair } of this.pairsOver(fact))
      if (!this.#abandoned.has(materialized)) this.#addPair(materialized, pair);
  }

  /** Call it after a fact was deleted, with the result of `pairsOver` from before. */
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
    const { sql, table } = materialized;
    if (this.#run(sql.contains).values(from, to).length > 0) return;
    const gatherStarts = () => this.#run(sql.gatherNewFrom).run(from, to);
    this.#update(materialized, gatherStarts, to, () => {
      this.#addRows(materialized, this.#run(sql.join).run());
      // The statistics count rows with equal columns, so it is enough to look at each start with one end and each end
      // with one start.
      for (const row of this.#run(oneOfEach).values()) this.#statistics.sampleRow(table.table, row.map(Number));
    });
  }

  #removePair(materialized: MaterializedClosure, [from, to]: Pair): void {
    const { sql } = materialized;
    const gatherStarts = () => this.#run(sql.gatherFrom).run(from);
    this.#update(materialized, gatherStarts, to, () => {
      this.#addRows(materialized, -this.#run(sql.part).run());
      if (this.#exceedsLimit(this.#run(sql.walk).run(this.#limits.closureUpdateRowsMax + 1)))
        this.#abandoned.add(materialized);
      else this.#addRows(materialized, this.#run(sql.rejoin).run());
    });
  }

  /**
   * Gathers the starts and ends of the rows that change, and runs `change`. Abandons the closure if there are too many
   * rows, or if the event has taken too long: other writes wait meanwhile.
   */
  #update(materialized: MaterializedClosure, gatherStarts: () => number, to: number, change: () => void): void {
    if (performance.now() > this.#endMs) return void this.#abandoned.add(materialized);
    // Once for each event: a rollback removes tables that the transaction created.
    if (!this.#hasScratchTables) this.#database.exec(scratchTables);
    this.#hasScratchTables = true;
    const starts = gatherStarts();
    const ends = this.#run(materialized.sql.gatherTo).run(to);
    if (this.#exceedsLimit(starts * ends)) this.#abandoned.add(materialized);
    else change();
    for (const table of scratchTableNames) this.#run(`DELETE FROM ${table}`).run();
  }

  #exceedsLimit(rows: number): boolean {
    return rows > this.#limits.closureUpdateRowsMax;
  }

  #addRows(materialized: MaterializedClosure, rows: number): void {
    this.#rowsGained.set(materialized, (this.#rowsGained.get(materialized) ?? 0) + rows);
    this.#statistics.addRowCount(materialized.table.table, rows);
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
export function refreshClosures(database: Connection, limits: Limits, retry: boolean, fillTime: FillTime): void {
  const endMs = fillTime === "bounded" ? performance.now() + limits.closureTimeMsMax : Infinity;
  const closures = closuresUnder(usableActivation(database), limits);
  const wanted = new Map(closures.map((closure) => [closure.name, closure]));
  let isChanged = false;
  for (const table of closureTables(database)) {
    if (wanted.has(table.name) && (table.isMaterialized || !retry)) wanted.delete(table.name);
    else {
      dropClosure(database, table);
      isChanged = true;
    }
  }
  for (const [name, closure] of wanted) {
    const table = createClosureTable(database, name);
    if (!fill(database, closure, table, limits, endMs)) emptyClosureTable(database, table);
    isChanged = true;
  }
  if (isChanged) invalidatePlans(database);
}

/**
 * Returns false if the closure is too large to be materialized, or if it takes too long. A running SQLite statement
 * cannot be interrupted, so each statement fills from a few starts: the closure of a chain of 3,000 folders has 5 million
 * rows and takes a minute, during which nothing else can be written.
 */
function fill(
  database: Connection,
  closure: Closure,
  table: ClosureTable,
  { closureRowsMax }: Limits,
  endMs: number,
): boolean {
  if (closure.steps.length > stepsMax) return false;
  const sql = closureSql(closure, table.table, catalogueOf(database));
  database.exec(scratchTables);
  const starts = database.prepare(sql.starts).values(closureRowsMax + 1);
  if (starts.length > closureRowsMax) return false;
  const gather = database.prepare("INSERT OR IGNORE INTO closure_from SELECT value FROM json_each(?1)");
  const fillFrom = database.prepare(sql.fillFrom);
  let rows = 0;
  let batchSize = 1;
  try {
    for (let first = 0; first < starts.length; first += batchSize) {
      if (performance.now() > endMs || rows > closureRowsMax) return false;
      database.exec("DELETE FROM closure_from");
      batchSize = Math.min(2 * batchSize, closureStartsPerStatement);
      gather.run(jsonParameter(starts.slice(first, first + batchSize).map(([id]) => Number(id))));
      rows += fillFrom.run(closureRowsMax + 1 - rows);
    }
  } finally {
    database.exec("DELETE FROM closure_from");
  }
  addClosureRows(database, table, rows);
  return rows <= closureRowsMax;
}

/** SQLite accepts 500 SELECTs in one statement, and filling a table takes two of them for each step. */
const stepsMax = 200;

export function dropAllClosures(database: Connection): void {
  for (const table of closureTables(database)) dropClosure(database, table);
}

function dropClosure(database: Connection, table: ClosureTable): void {
  dropClosureTable(database, table);
  dropStatistics(database, table.table);
}

/**
 * Describes a difference between a closure's table and the facts; `undefined` if there is none. Computes all closures
 * again.
 */
export function findClosureDamage(database: Connection, limits: Limits): string | undefined {
  const tables = tablesByName(database);
  for (const closure of closuresUnder(usableActivation(database), limits)) {
    const table = tables.get(closure.name);
    if (!table?.isMaterialized) continue;
    const { all } = closureSql(closure, table.table, catalogueOf(database));
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

function catalogueOf(database: Connection): SqlCatalogue {
  return {
    hasIndex: () => false,
    rowsMax: () => Number.POSITIVE_INFINITY,
    factTable: (predicate) => factTable(database, ...splitKey(predicate)),
    idOf: (value) => findSymbol(database, value) ?? -1,
    idRange: (type) => {
      const number = findTypeId(database, type);
      return number === undefined ? { low: 0, high: -1 } : symbolRange(number);
    },
  };
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
