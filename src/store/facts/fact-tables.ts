/**
 * Fact tables: one for each predicate and arity. A row holds the symbols of the arguments; the primary key is all
 * columns, and the active policy decides on further indexes. Tables have numbers as names, so no text of a policy
 * becomes part of SQL.
 */
import type { SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../connection/connection.ts";
import type { Fact, FactPattern, Value } from "./fact.ts";
import { relation, type } from "../connection/schema.ts";
import { must } from "../../util/assert.ts";
import { findSymbol, findTypeId, intern, symbolRange, type SymbolRange } from "./symbols.ts";

/** The id of the relation of a predicate; undefined if it has no table. */
export function relationId(database: Connection, predicate: string, arity: number): number | undefined {
  const relations = database.writerCache?.relations;
  const name = `${predicate}/${arity}`;
  const known = relations?.get(name);
  if (known !== undefined) return known;
  const found = database.number("SELECT id FROM relation WHERE predicate = ?1 AND arity = ?2", predicate, arity);
  if (found !== undefined) relations?.set(name, found);
  return found;
}

export function tableOf(relation: number): string {
  return `fact_${relation}`;
}

/** The table of a predicate; undefined if it has none. */
export function factTable(database: Connection, predicate: string, arity: number): string | undefined {
  const id = relationId(database, predicate, arity);
  return id === undefined ? undefined : tableOf(id);
}

/** Creates a missing table. */
export function ensureFactTable(database: Connection, predicate: string, arity: number): string {
  const known = factTable(database, predicate, arity);
  if (known) return known;
  const id = must(database.number("SELECT COALESCE(MAX(id), 0) + 1 FROM relation"));
  database.statement("INSERT INTO relation (id, predicate, arity) VALUES (?1, ?2, ?3)").run(id, predicate, arity);
  database.exec(factTableSql(id, arity));
  return tableOf(id);
}

export function factTableSql(id: number, arity: number): string {
  const columns = columnNames(arity);
  const declared = columns.map((column) => `${column} INTEGER NOT NULL`);
  return `CREATE TABLE ${tableOf(id)} (${declared.join(", ")}, PRIMARY KEY (${columns.join(", ")})) WITHOUT ROWID`;
}

/** `order` lists column numbers, counted from 1. */
export function factIndexSql(table: string, order: readonly number[]): string {
  return `CREATE INDEX ${factIndexName(table, order)} ON ${table} (${order.map((column) => `a${column}`).join(", ")})`;
}

function factIndexName(table: string, order: readonly number[]): string {
  return `${table}_by_${order.join("_")}`;
}

/** Creates and drops indexes, so that a fact table has exactly these. Orders list column numbers, counted from 0. */
export function setIndexes(database: Connection, table: string, orders: readonly (readonly number[])[]): void {
  const numbered = orders.map((order) => order.map((column) => column + 1));
  const wanted = new Map(numbered.map((order) => [factIndexName(table, order), order]));
  // A query on sqlite_schema would read the rows of all tables.
  const indexes = database.prepare("SELECT name FROM pragma_index_list(?1) WHERE origin = 'c'").values(table);
  const present = new Set(indexes.map(([name]) => String(name)));
  for (const name of present) if (!wanted.has(name)) database.exec(`DROP INDEX ${name}`);
  for (const [name, order] of wanted) if (!present.has(name)) database.exec(factIndexSql(table, order));
}

/** The indexes of a fact table besides the primary key, by name. Orders list column numbers, counted from 0. */
export function indexesOf(
  database: Connection,
  table: string,
): { readonly name: string; readonly order: readonly number[] }[] {
  const sql = "SELECT name FROM pragma_index_list(?1) WHERE origin = 'c' ORDER BY name";
  const [names, start] = [
    database
      .statement(sql)
      .values(table)
      .map(([name]) => String(name)),
    `${table}_by_`,
  ];
  return names.map((name) => ({
    name,
    order: name
      .slice(start.length)
      .split("_")
      .map((column) => Number(column) - 1),
  }));
}

/** All fact tables with their predicates. */
export function factTables(
  database: Connection,
): { readonly id: number; readonly table: string; readonly predicate: string; readonly arity: number }[] {
  const rows = database.orm.select().from(relation).orderBy(relation.predicate, relation.arity).all();
  return rows.map(({ id, predicate, arity }) => ({ id, table: tableOf(id), predicate, arity }));
}

/** The row of a fact: the symbols of its arguments. */
export interface StoredRow {
  readonly table: string;
  readonly ids: readonly number[];
}

/** Inserts a fact. Returns its row; undefined if the store had the fact already. */
export function insertFact(database: Connection, fact: Fact): StoredRow | undefined {
  const table = ensureFactTable(database, fact.predicate, fact.args.length);
  const slots = fact.args.map((_, index) => `?${index + 1}`).join(", ");
  const ids = fact.args.map((arg) => intern(database, arg));
  const added = database.statement(`INSERT OR IGNORE INTO ${table} VALUES (${slots})`).run(...ids);
  return added > 0 ? { table, ids } : undefined;
}

/** Deletes a fact. Returns the row that it had; undefined if the store did not have the fact. */
export function deleteFact(database: Connection, fact: Fact): StoredRow | undefined {
  const found = findRow(database, fact);
  if (!found) return undefined;
  const { table, ids } = found;
  database.writerCache?.rowCounts.clear();
  const deleted = database.statement(`DELETE FROM ${table} WHERE ${equalities(ids.length)}`).run(...ids);
  return deleted > 0 ? found : undefined;
}

export function hasFact(database: Connection, fact: Fact): boolean {
  const found = findRow(database, fact);
  if (!found) return false;
  const { table, ids } = found;
  return database.number(`SELECT 1 FROM ${table} WHERE ${equalities(ids.length)}`, ...ids) !== undefined;
}

/** The stored facts that match a pattern of the same arity, at most `limit`, in no particular order. */
export function matchFacts(database: Connection, pattern: FactPattern, limit: number): Fact[] {
  const query = matching(database, pattern);
  if (!query) return [];
  const rows = database.statement(query.sql).values(...query.parameters, limit);
  return rows.map((row) => factOf(pattern, row));
}

/** All stored facts that match a pattern, in constant memory. In a transaction of the caller all are of one state. */
export function* eachMatch(database: Connection, pattern: FactPattern): Generator<Fact> {
  const query = matching(database, pattern);
  if (!query) return;
  const select = database.prepare(query.sql);
  try {
    for (const row of select.rows(...query.parameters, noLimit)) yield factOf(pattern, row);
  } finally {
    select.finalize();
  }
}

/** SQLite's value for "no limit". */
const noLimit = -1;

/** A statement, and all its parameters but the last one, which is the limit. Undefined if no fact can match. */
function matching(
  database: Connection,
  pattern: FactPattern,
): { readonly sql: string; readonly parameters: readonly SqlValue[] } | undefined {
  const table = factTable(database, pattern.predicate, pattern.args.length);
  if (!table) return undefined;
  const conditions: string[] = [];
  const parameters: SqlValue[] = [];
  for (const [index, arg] of pattern.args.entries()) {
    if (arg.type === null) continue;
    const range = rangeOf(database, arg.type, arg.id);
    if (!range) return undefined;
    conditions.push(`t.a${index + 1} BETWEEN ?${parameters.length + 1} AND ?${parameters.length + 2}`);
    parameters.push(range.low, range.high);
  }
  const columns = pattern.args.map((_, index) => `y${index}.name AS type${index}, s${index}.value AS id${index}`);
  const joins = pattern.args.map(
    (_, index) =>
      `CROSS JOIN symbol s${index} ON s${index}.id = t.a${index + 1} CROSS JOIN type y${index} ON y${index}.id = s${index}.type`,
  );
  const from = `FROM ${table} t ${joins.join(" ")}`;
  const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
  return { sql: `SELECT ${columns.join(", ")} ${from} ${where} LIMIT ?${parameters.length + 1}`, parameters };
}

function factOf({ predicate, args }: FactPattern, row: readonly SqlValue[]): Fact {
  return {
    predicate,
    args: args.map((_, index): Value => ({ type: String(row[index * 2]), id: String(row[index * 2 + 1]) })),
  };
}

/** All rows of a fact table, as symbols, page by page along the primary key. */
export function* scanRows(database: Connection, table: string, arity: number): Generator<readonly number[][]> {
  const columns = columnNames(arity);
  const [list, after] = [columns.join(", "), columns.map(() => "?").join(", ")];
  const select = database.prepare(
    `SELECT ${list} FROM ${table} WHERE (${list}) > (${after}) ORDER BY ${list} LIMIT ${pageRows}`,
  );
  let last = columns.map(() => -1);
  for (;;) {
    const page = select.values(...last) as number[][];
    yield page;
    if (page.length < pageRows) break;
    last = must(page.at(-1));
  }
  select.finalize();
}

const pageRows = 5000;

/** Counts the facts of a predicate for each combination of argument types. Reads every fact. */
export function countByTypes(
  database: Connection,
  predicate: string,
  arity: number,
): { readonly types: readonly string[]; readonly count: number }[] {
  const table = factTable(database, predicate, arity);
  if (!table) return [];
  const columns = columnNames(arity);
  const numbers = columns.map((column, index) => `${column} >> 32 AS t${index + 1}`).join(", ");
  const groups = columns.map((_, index) => `t${index + 1}`).join(", ");
  const types = database.orm.select().from(type).all();
  const names = new Map(types.map(({ id, name }) => [id, name]));
  const rows = database.statement(`SELECT ${numbers}, count(*) FROM ${table} GROUP BY ${groups}`).values();
  return rows.map((row) => ({
    types: row.slice(0, arity).map((number) => must(names.get(Number(number)), "every type of a fact is known")),
    count: Number(row[arity]),
  }));
}

/** Deletes all facts, and saves them under the offset of the event. Tables, indexes and symbols stay. */
export function clearFacts(database: Connection, offset: number): void {
  for (const { id, table, arity } of factTables(database)) {
    const ids = columnNames(arity).join(", ");
    const save = `INSERT INTO cleared (offset, relation, ids) SELECT ?1, ?2, json_array(${ids}) FROM ${table}`;
    database.statement(save).run(offset, id);
    database.exec(`DELETE FROM ${table}`);
  }
  database.writerCache?.rowCounts.clear();
}

/** Inserts the facts that `clearFacts` saved under that offset. The tables must be empty. */
export function restoreClearedFacts(database: Connection, offset: number): void {
  const arities = new Map(factTables(database).map(({ id, arity }) => [id, arity]));
  // The facts of a table were saved one after another. By their rowids each is read twice, and not once for each table.
  const saved = "SELECT relation, min(rowid), max(rowid) FROM cleared WHERE offset = ?1 GROUP BY relation";
  for (const row of database.statement(saved).values(offset)) {
    const [relation, first, last] = row.map(Number) as [number, number, number];
    const arity = must(arities.get(relation), "a cleared fact had a table");
    const ids = columnNames(arity).map((_, index) => `json_extract(ids, '$[${index}]')`);
    const restore = `INSERT INTO ${tableOf(relation)} SELECT ${ids.join(", ")} FROM cleared
      WHERE rowid BETWEEN ?1 AND ?2 AND offset = ?3 AND relation = ?4`;
    database.statement(restore).run(first, last, offset, relation);
  }
  database.statement("DELETE FROM cleared WHERE offset = ?1").run(offset);
}

function findRow(database: Connection, fact: Fact): StoredRow | undefined {
  const table = factTable(database, fact.predicate, fact.args.length);
  if (!table) return undefined;
  const ids: number[] = [];
  for (const arg of fact.args) {
    const id = findSymbol(database, arg);
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return { table, ids };
}

/** The symbols that a pattern's argument matches; undefined if the store has none of them. */
function rangeOf(database: Connection, type: string, id: string | null): SymbolRange | undefined {
  if (id === null) {
    const number = findTypeId(database, type);
    return number === undefined ? undefined : symbolRange(number);
  }
  const symbol = findSymbol(database, { type, id });
  return symbol === undefined ? undefined : { low: symbol, high: symbol };
}

function columnNames(arity: number): string[] {
  return Array.from({ length: arity }, (_, index) => `a${index + 1}`);
}

/** By arity: batches ask for each of their facts. */
const knownEqualities: string[] = [];

function equalities(arity: number): string {
  return (knownEqualities[arity] ??= columnNames(arity)
    .map((column, index) => `${column} = ?${index + 1}`)
    .join(" AND "));
}
