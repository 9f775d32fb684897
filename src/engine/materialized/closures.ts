/**
 * How closures are kept: filled when a policy becomes active, changed with each fact in the transaction of that fact. A new pair of a step joins
 * all that reaches its start with all that its end reaches. A lost pair takes away whatever may have led over it, and what has another way is
 * found again by walking from those starts alone, until the walk is where everything is still known. Both are exact with cycles and with
 * several ways, and cost about what they change; past a limit the closure is given up, and questions walk the facts instead.
 */
import type { Limits } from "../../config/limits.ts";
import type { ClosureStep, Closure } from "../../datalog/ir/closure.ts";
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
import type { StatisticsUpdate } from "../../store/statistics/statistics-update.ts";
import { dropStatistics } from "../../store/statistics/table-statistics.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { jsonParameter } from "../request/json-parameter.ts";
import { factTable } from "../../store/facts/fact-tables.ts";
import { findSymbol, symbolRange, findTypeId } from "../../store/facts/symbols.ts";
import { must } from "../../util/assert.ts";
import { type Activation, invalidatePlans, usableActivation } from "../policy/activation.ts";
import { ClosureSql, scratchTables, scratchTableNames, type Pair, type Parametrised } from "./closure-sql.ts";
import { closuresOf } from "./policy-closures.ts";

/** A place in a step where a fact of a predicate can stand. */
interface FactOccurrence {
  readonly kept: MaterializedClosure;
  readonly step: ClosureStep;
  readonly index: number;
  readonly pairs: Parametrised;
}

interface MaterializedClosure {
  readonly table: ClosureTable;
  readonly sql: ClosureSql;
}

/** The closures of the active policy on a writing connection. */
export class Closures {
  readonly #database: Connection;
  readonly #places: ReadonlyMap<string, readonly FactOccurrence[]>;

  private constructor(database: Connection, activation: Activation | undefined, limits: Limits) {
    this.#database = database;
    const tables = new Map(closureTables(database).map((table) => [table.name, table]));
    const places = (activation ? closuresOf(activation.active, limits) : []).flatMap((closure) => {
      const table = tables.get(closure.name);
      return table?.isMaterialized ? placesIn(closure, { table, sql: sqlFor(database, closure, table) }) : [];
    });
    this.#places = Map.groupBy(places, ({ step, index }) => must(step.atoms[index]).predicate);
  }

  /** Made once for as long as the policy and its closures stay the same. */
  static of(database: Connection, limits: Limits): Closures {
    const activation = usableActivation(database);
    const known = database.catalogue.get(cachedClosures);
    if (known && known.activation === activation) return known.closures;
    const closures = new Closures(database, activation, limits);
    database.catalogue.set(cachedClosures, { activation, closures });
    return closures;
  }

  /** Where the fact can stand in a step, and the pairs that steps make of it. */
  pairsOver(fact: Fact): FactPair[] {
    const places = this.#places.get(predicateKey(fact.predicate, fact.args.length));
    if (!places) return [];
    return places.flatMap((place) =>
      fits(place, fact) ? this.#pairs(place, fact).map((pair) => ({ kept: place.kept, pair })) : [],
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

const cachedClosures: CatalogueKey<CachedClosures> = { name: "closures" };

export interface FactPair {
  readonly kept: MaterializedClosure;
  readonly pair: Pair;
}

/** Of what was gathered, each start with an end of each type, and each end with a start of each type. */
const oneOfEach = `SELECT f.c0, t.c0 FROM closure_from AS f CROSS JOIN (SELECT min(c0) AS c0 FROM closure_to GROUP BY c0 >> 32) AS t
  UNION SELECT f.c0, t.c0 FROM (SELECT min(c0) AS c0 FROM closure_from GROUP BY c0 >> 32) AS f CROSS JOIN closure_to AS t`;

/** What one event does to the closures. Nothing of it outlives the event: its transaction may be rolled back. */
export class ClosureChange {
  readonly #database: Connection;
  readonly #limits: Limits;
  readonly #closures: Closures;
  readonly #degrees: StatisticsUpdate;
  /** By how many rows each closure has grown. */
  readonly #grown = new Map<MaterializedClosure, number>();
  readonly #givenUp = new Set<MaterializedClosure>();
  /** On the clock of `performance.now()`. */
  readonly #endMs: number;
  #canGather = false;

  constructor(database: Connection, limits: Limits, degrees: StatisticsUpdate) {
    this.#database = database;
    this.#limits = limits;
    this.#endMs = performance.now() + limits.closureTimeMsMax;
    this.#degrees = degrees;
    this.#closures = Closures.of(database, limits);
  }

  /** To be told when the fact is there. */
  add(fact: Fact): void {
    for (const { kept, pair } of this.#closures.pairsOver(fact)) if (!this.#givenUp.has(kept)) this.#join(kept, pair);
  }

  /** To be asked before a fact goes: what it may take with it. */
  pairsLostWith(fact: Fact): FactPair[] {
    return this.#closures.pairsOver(fact);
  }

  /** To be told when it has gone. */
  remove(lost: readonly FactPair[]): void {
    for (const { kept, pair } of lost) if (!this.#givenUp.has(kept) && !this.#holds(kept, pair)) this.#part(kept, pair);
  }

  /** To be called once after all changes. */
  finish(): void {
    for (const [kept, grown] of this.#grown) {
      if (addClosureRows(this.#database, kept.table, grown) > this.#limits.closureRowsMax) this.#givenUp.add(kept);
    }
    for (const { table } of this.#givenUp) emptyClosureTable(this.#database, table);
    if (this.#givenUp.size > 0) invalidatePlans(this.#database);
  }

  #holds({ sql }: MaterializedClosure, [from, to]: Pair): boolean {
    return this.#run(sql.stepHolds).values(from, to)[0]?.[0] === 1;
  }

  #join(kept: MaterializedClosure, [from, to]: Pair): void {
    const { sql } = kept;
    if (this.#run(sql.contains).values(from, to).length > 0) return;
    if (this.#isLate()) return void this.#givenUp.add(kept);
    this.#makeRoom();
    const starts = this.#run(sql.gatherNewFrom).run(from, to);
    const ends = this.#run(sql.gatherTo).run(to);
    if (this.#isTooMuch(starts * ends)) this.#givenUp.add(kept);
    else {
      this.#count(kept, this.#run(sql.join).run());
      // Each start with some end and each end with some start is enough: those with the same are counted.
      for (const row of this.#run(oneOfEach).values()) this.#degrees.sampleRow(kept.table.table, row.map(Number));
    }
    this.#forget();
  }

  #part(kept: MaterializedClosure, [from, to]: Pair): void {
    const { sql } = kept;
    if (this.#isLate()) return void this.#givenUp.add(kept);
    this.#makeRoom();
    const starts = this.#run(sql.gatherFrom).run(from);
    const ends = this.#run(sql.gatherTo).run(to);
    if (this.#isTooMuch(starts * ends)) this.#givenUp.add(kept);
    else {
      this.#count(kept, -this.#run(sql.part).run());
      if (this.#isTooMuch(this.#run(sql.walk).run(this.#limits.closureUpdateRowsMax + 1))) this.#givenUp.add(kept);
      else this.#count(kept, this.#run(sql.rejoin).run());
    }
    this.#forget();
  }

  /** For each event anew: tables that were made in a transaction are gone when it is rolled back. */
  #makeRoom(): void {
    if (this.#canGather) return;
    this.#database.exec(scratchTables);
    this.#canGather = true;
  }

  /** Many facts of one event may each change many rows, and nothing else is written meanwhile. */
  #isLate(): boolean {
    return performance.now() > this.#endMs;
  }

  #isTooMuch(rows: number): boolean {
    return rows > this.#limits.closureUpdateRowsMax;
  }

  #count(kept: MaterializedClosure, rows: number): void {
    this.#grown.set(kept, (this.#grown.get(kept) ?? 0) + rows);
    this.#degrees.addRowCount(kept.table.table, rows);
  }

  #forget(): void {
    for (const table of scratchTableNames) this.#run(`DELETE FROM ${table}`).run();
  }

  #run(sql: string): SqlStatement {
    return this.#database.statement(sql);
  }
}

/** Whether others wait meanwhile: then what takes longer than `closureTimeMsMax` is not filled but walked. */
export type FillTime = "bounded" | "unbounded";

/**
 * Makes the closures that are kept be those of the active policy: missing ones are filled, others dropped; with `retry`, those that were given
 * up are tried again. Inside the caller's transaction.
 */
export function refreshClosures(
  database: Connection,
  limits: Limits,
  retry: boolean,
  patience: FillTime = "unbounded",
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
      patience === "bounded"
        ? fillUntil(endMs, database, closure, table, limits)
        : fill(database, closure, table, limits);
    if (!isFilled) emptyClosureTable(database, table);
    isChanged = true;
  }
  if (isChanged) invalidatePlans(database);
}

/** False where the closure is too large to be kept. */
function fill(database: Connection, closure: Closure, table: ClosureTable, limits: Limits): boolean {
  if (closure.steps.length > stepsMax) return false;
  const rows = database.prepare(sqlFor(database, closure, table).fill).run(limits.closureRowsMax + 1);
  addClosureRows(database, table, rows);
  return rows <= limits.closureRowsMax;
}

/**
 * The same by some starts at a time, so that it can be ended: a statement of SQLite can't. A closure of a chain of 3,000 folders has 5 million rows
 * and takes a minute, in which nothing else can be written.
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
  let together = 1;
  try {
    for (let first = 0; first < starts.length; first += together) {
      const startMs = performance.now();
      if (startMs > endMs || rows > closureRowsMax) return false;
      database.exec("DELETE FROM closure_from");
      together = Math.min(2 * together, startsTogetherMax);
      gather.run(jsonParameter(starts.slice(first, first + together).map(([id]) => Number(id))));
      rows += fillFrom.run(closureRowsMax + 1 - rows);
    }
  } finally {
    database.exec("DELETE FROM closure_from");
  }
  addClosureRows(database, table, rows);
  return rows <= closureRowsMax;
}

/** What as many starts reach takes some 10 ms, where each reaches some tens. */
const startsTogetherMax = 64;

/** SQLite takes 500 selections in one statement, and to fill a table takes two of them a step. */
const stepsMax = 200;

/** All closures of an empty store, those that were given up among them. */
export function clearClosures(database: Connection, limits: Limits): void {
  for (const table of closureTables(database)) {
    dropClosureTable(database, table);
    dropStatistics(database, table.table);
  }
  refreshClosures(database, limits, true);
}

/** Says where a closure's table is not what the facts say it should be; `undefined` where all are right. Computes all of them anew. */
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

function placesIn(closure: Closure, kept: MaterializedClosure): FactOccurrence[] {
  return closure.steps.flatMap((step) =>
    step.atoms.map((_, index) => ({ kept, step, index, pairs: kept.sql.pairsOver(step, index) })),
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
