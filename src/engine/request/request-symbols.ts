/**
 * The values of one request as interned ids. Those that the store does not know get ids of their own for as long as the request lasts: equal
 * values the same id, different values different ones, so that two unknown users are never mistaken for each other.
 */
import { predicateKey } from "../../datalog/ir/program.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { findSymbolOfType } from "../../store/facts/symbol-cache.ts";
import { requestSymbol } from "../../store/facts/symbols.ts";
import { checkValue } from "./fact-check.ts";
import { jsonParameter } from "./json-parameter.ts";
import { valueKey } from "./keys.ts";
import type { TypeIds } from "./type-ids.ts";

export class RequestSymbols {
  readonly #database: Connection;
  readonly #types: TypeIds;
  /** None of them where there is nothing to be in them, as with most requests. */
  #ids: Map<string, number> | undefined;
  #values: Map<number, Value> | undefined;
  #facts: ReadonlyMap<string, number[][]> | undefined;

  constructor(database: Connection, types: TypeIds, contextFacts: readonly Fact[]) {
    this.#database = database;
    this.#types = types;
    if (contextFacts.length > 0) this.#facts = this.#rowsOf(contextFacts);
  }

  /** By predicate key. */
  #rowsOf(facts: readonly Fact[]): Map<string, number[][]> {
    const rows = new Map<string, number[][]>();
    for (const fact of facts) {
      const key = predicateKey(fact.predicate, fact.args.length);
      const row = fact.args.map((arg) => this.idOf(arg));
      const known = rows.get(key);
      if (known) known.push(row);
      else rows.set(key, [row]);
    }
    return rows;
  }

  /** Throws `invalid_request` for a value that is none of its type. */
  idOf(value: Value): number {
    const type = this.#types.stored(value.type);
    const stored = type === undefined ? undefined : findSymbolOfType(this.#database, type, value.id);
    if (stored !== undefined) return stored;
    const key = valueKey(value);
    const known = this.#ids?.get(key);
    if (known !== undefined) return known;
    checkValue(value);
    this.#ids ??= new Map();
    this.#values ??= new Map();
    const id = requestSymbol(this.#types.of(value.type), this.#ids.size);
    this.#ids.set(key, id);
    this.#values.set(id, value);
    return id;
  }

  /** Of the values that the store does not know. */
  ids(): Iterable<number> {
    return this.#values?.keys() ?? [];
  }

  valueOf(id: number): Value | undefined {
    const brought = this.#values?.get(id);
    if (brought) return brought;
    const row = this.#database
      .statement(
        "SELECT type.name, symbol.value FROM symbol CROSS JOIN type ON type.id = symbol.type WHERE symbol.id = ?1",
      )
      .values(id)[0];
    return row && { type: String(row[0]), id: String(row[1]) };
  }

  /** The context facts of a predicate key. */
  rows(predicate: string): readonly (readonly number[])[] {
    return this.#facts?.get(predicate) ?? [];
  }

  /** `[[id, text], …]` of the values that the store does not know, for SQL. */
  toJson(): string {
    return this.#values === undefined ? "[]" : jsonParameter([...this.#values].map(([id, value]) => [id, value.id]));
  }
}
