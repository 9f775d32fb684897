/**
 * What `apply` costs over SQLite itself: the same facts, a thousand a transaction, applied as events to one file and written as bare rows
 * (known ids, prepared statements, the same tables and indexes, the same durability) to another, in turns.
 */
import { join } from "node:path";
import type { SqlDatabase, SqlRow, SqlStatement } from "../../src/runtime/sqlite.ts";
import type { Fact, Value } from "../../src/store/fact.ts";
import { factTable } from "../../src/store/fact-tables.ts";
import { lookUp, typeNumber } from "../../src/store/symbols.ts";
import { applyEffect, createFile, factsEffect, inChunks } from "./store-file.ts";

export interface ApplyRates {
  readonly appliedPerSecond: number;
  readonly insertedPerSecond: number;
  /** The file of the events: a whole store. */
  readonly path: string;
}

export function measureApply(directory: string, policy: string, facts: readonly Fact[]): ApplyRates {
  const path = join(directory, "applied.db");
  const subject = createFile(path, policy);
  const baseline = createFile(join(directory, "inserted.db"), policy);
  const rows = new Rows(subject);
  const inserts = new Inserts(baseline);
  let [appliedNs, insertedNs] = [0, 0];
  try {
    for (const chunk of inChunks(facts)) {
      const effect = factsEffect(chunk);
      appliedNs += nanoseconds(() => applyEffect(subject, effect));
      const written = rows.of(chunk);
      insertedNs += nanoseconds(() => inserts.write(written));
    }
    requireEqual(subject, baseline, facts);
  } finally {
    subject.close();
    baseline.close();
  }
  const perSecond = (taken: number): number => facts.length / (taken / 1e9);
  return { appliedPerSecond: perSecond(appliedNs), insertedPerSecond: perSecond(insertedNs), path };
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

function requireEqual(subject: SqlDatabase, baseline: SqlDatabase, facts: readonly Fact[]): void {
  const tables = new Set(facts.map(({ predicate, args }) => factTable(subject, predicate, args.length) ?? predicate));
  for (const table of [...tables, "symbol"]) {
    const [one, other] = [subject, baseline].map((store) => store.prepare(`SELECT count(*) FROM ${table}`).values());
    if (!Bun.deepEquals(one, other)) throw new Error(`the two files differ in ${table}`);
  }
}

function nanoseconds(work: () => void): number {
  const begin = Bun.nanoseconds();
  work();
  return Bun.nanoseconds() - begin;
}
