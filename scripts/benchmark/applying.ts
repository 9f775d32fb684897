/**
 * What `apply` costs over SQLite itself: the same facts, a thousand a transaction, applied as events to one file and written as bare rows
 * (known ids, prepared statements, the same tables and indexes, the same durability) to another, in turns.
 */
import type { SqlDatabase, SqlRow, SqlStatement } from "../../src/runtime/sqlite.ts";
import type { Fact, Value } from "../../src/store/fact.ts";
import { factTable } from "../../src/store/fact-tables.ts";
import { databaseFiles, removeFiles } from "../../src/store/snapshot.ts";
import { lookUp, typeNumber } from "../../src/store/symbols.ts";
import { applyEffect, createFile, factsEffect, inChunks } from "./store-file.ts";

export interface ApplyRates {
  readonly facts: number;
  readonly appliedPerSecond: number;
  readonly insertedPerSecond: number;
}

/** Leaves a whole store at `path`; the file of the bare rows goes. */
export function measureApply(path: string, policy: string, facts: Iterable<Fact>): ApplyRates {
  const barePath = `${path}.bare`;
  const [subject, bare] = [createFile(path, policy), createFile(barePath, policy)];
  const rows = new Rows(subject);
  const inserts = new Inserts(bare);
  const tables = new Set(["symbol"]);
  let [count, appliedNs, insertedNs] = [0, 0, 0];
  try {
    for (const chunk of inChunks(facts)) {
      const effect = factsEffect(chunk);
      appliedNs += nanoseconds(() => applyEffect(subject, effect));
      const written = rows.of(chunk);
      insertedNs += nanoseconds(() => inserts.write(written));
      for (const { table } of written) tables.add(table);
      count += chunk.length;
    }
    requireEqual(subject, bare, tables);
  } finally {
    subject.close();
    bare.close();
    removeFiles(databaseFiles(barePath));
  }
  const perSecond = (taken: number): number => count / (taken / 1e9);
  return { facts: count, appliedPerSecond: perSecond(appliedNs), insertedPerSecond: perSecond(insertedNs) };
}

interface TableRow {
  readonly table: string;
  readonly values: SqlRow;
}

/** The rows that a store holds for facts, values that it has just come to know among them. */
class Rows {
  readonly #store: SqlDatabase;
  readonly #known = new Set<string>();

  constructor(store: SqlDatabase) {
    this.#store = store;
    for (const row of store.prepare("SELECT t.name, s.value FROM symbol s JOIN type t ON t.id = s.type").values())
      this.#known.add(JSON.stringify(row));
  }

  of(facts: readonly Fact[]): TableRow[] {
    return facts.flatMap(({ predicate, args }) => [
      ...args.flatMap((value) => this.#newSymbol(value)),
      { table: this.#tableOf(predicate, args.length), values: args.map((value) => this.#idOf(value)) },
    ]);
  }

  #newSymbol(value: Value): TableRow[] {
    const key = JSON.stringify([value.type, value.id]);
    if (this.#known.has(key)) return [];
    this.#known.add(key);
    return [{ table: "symbol", values: [this.#idOf(value), typeNumber(this.#store, value.type) ?? null, value.id] }];
  }

  #idOf(value: Value): number {
    const id = lookUp(this.#store, value);
    if (id === undefined) throw new Error(`${value.type}:${value.id} was not stored`);
    return id;
  }

  #tableOf(predicate: string, arity: number): string {
    const table = factTable(this.#store, predicate, arity);
    if (table === undefined) throw new Error(`${predicate} has no table`);
    return table;
  }
}

class Inserts {
  readonly #store: SqlDatabase;
  readonly #statements = new Map<string, SqlStatement>();

  constructor(store: SqlDatabase) {
    this.#store = store;
  }

  write(rows: readonly TableRow[]): void {
    this.#store.transaction(() => {
      for (const { table, values } of rows) this.#statement(table, values.length).run(...values);
    }, "immediate");
  }

  #statement(table: string, columns: number): SqlStatement {
    const known = this.#statements.get(table);
    if (known !== undefined) return known;
    const made = this.#store.prepare(`INSERT INTO ${table} VALUES (${new Array(columns).fill("?").join(", ")})`);
    this.#statements.set(table, made);
    return made;
  }
}

function requireEqual(subject: SqlDatabase, bare: SqlDatabase, tables: Iterable<string>): void {
  for (const table of tables) {
    const [one, other] = [subject, bare].map((store) => store.prepare(`SELECT count(*) FROM ${table}`).values());
    if (!Bun.deepEquals(one, other)) throw new Error(`the two files differ in ${table}`);
  }
}

function nanoseconds(work: () => void): number {
  const begin = Bun.nanoseconds();
  work();
  return Bun.nanoseconds() - begin;
}
