/** The rows that facts need in a store, written without a node: known ids, prepared statements, one transaction. */
import type { SqlRow, SqlStatement } from "../../src/runtime/sqlite.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { factTable } from "../../src/store/facts/fact-tables.ts";
import { findSymbol, findTypeId } from "../../src/store/facts/symbols.ts";

export interface TableRow {
  readonly table: string;
  readonly values: SqlRow;
}

/** The rows that a store holds for facts, with the symbols that are new. */
export class BareRows {
  readonly #store: Connection;
  readonly #known = new Set<string>();

  /** `before` has the symbols that are not new, `store` the ids of all. */
  constructor(before: Connection, store: Connection) {
    this.#store = store;
    for (const row of before.prepare("SELECT t.name, s.value FROM symbol s JOIN type t ON t.id = s.type").values())
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
    return [{ table: "symbol", values: [this.#idOf(value), findTypeId(this.#store, value.type) ?? null, value.id] }];
  }

  #idOf(value: Value): number {
    const id = findSymbol(this.#store, value);
    if (id === undefined) throw new Error(`${value.type}:${value.id} was not stored`);
    return id;
  }

  #tableOf(predicate: string, arity: number): string {
    const table = factTable(this.#store, predicate, arity);
    if (table === undefined) throw new Error(`${predicate} has no table`);
    return table;
  }
}

export class BareInserts {
  readonly #store: Connection;
  readonly #statements = new Map<string, SqlStatement>();

  constructor(store: Connection) {
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
