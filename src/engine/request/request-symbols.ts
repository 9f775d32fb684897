/**
 * The symbols of the values of one request. Values that the store does not have get request-scoped symbols, one for each
 * distinct value, so two unknown users are never taken for each other.
 */
import { predicateKey } from "../../datalog/ir/program.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { findSymbolOfType, requestSymbol } from "../../store/facts/symbols.ts";
import { checkValue } from "../../policy/fact-check.ts";
import { jsonParameter } from "../../store/connection/json-parameter.ts";
import { valueKey } from "../../policy/keys.ts";
import type { TypeIds } from "./type-ids.ts";

export class RequestSymbols {
  readonly #database: Connection;
  readonly #types: TypeIds;
  /** Both maps are created only when needed; most requests do not need them. */
  #symbols: Map<string, number> | undefined;
  #values: Map<number, Value> | undefined;
  #facts: ReadonlyMap<string, number[][]> | undefined;

  constructor(database: Connection, types: TypeIds, contextFacts: readonly Fact[]) {
    this.#database = database;
    this.#types = types;
    if (contextFacts.length > 0) this.#facts = this.#rowsOf(contextFacts);
  }

  /** The context facts as rows of symbols, by predicate key. */
  #rowsOf(facts: readonly Fact[]): Map<string, number[][]> {
    const rows = new Map<string, number[][]>();
    for (const { predicate, args } of facts) {
      const row = args.map((arg) => this.symbolOf(arg));
      rows.getOrInsertComputed(predicateKey(predicate, args.length), () => []).push(row);
    }
    return rows;
  }

  /** Throws `invalid_request` for an id that is not valid for its type. */
  symbolOf(value: Value): number {
    const type = this.#types.stored(value.type);
    const stored = type === undefined ? undefined : findSymbolOfType(this.#database, type, value.id);
    if (stored !== undefined) return stored;
    const key = valueKey(value);
    const known = this.#symbols?.get(key);
    if (known !== undefined) return known;
    checkValue(value);
    this.#symbols ??= new Map();
    this.#values ??= new Map();
    const symbol = requestSymbol(this.#types.of(value.type), this.#symbols.size);
    this.#symbols.set(key, symbol);
    this.#values.set(symbol, value);
    return symbol;
  }

  /** The request-scoped symbols. */
  newSymbols(): Iterable<number> {
    return this.#values?.keys() ?? [];
  }

  valueOf(symbol: number): Value | undefined {
    const requestScoped = this.#values?.get(symbol);
    if (requestScoped) return requestScoped;
    const row = this.#database
      .statement(
        "SELECT type.name, symbol.value FROM symbol CROSS JOIN type ON type.id = symbol.type WHERE symbol.id = ?1",
      )
      .values(symbol)[0];
    return row && { type: String(row[0]), id: String(row[1]) };
  }

  /** The context facts of a predicate key, as rows of symbols. */
  rows(predicate: string): readonly (readonly number[])[] {
    return this.#facts?.get(predicate) ?? [];
  }

  /** `[[symbol, id], …]` of the request-scoped symbols, as a parameter for SQL. */
  toJson(): string {
    return this.#values === undefined ? "[]" : jsonParameter([...this.#values].map(([symbol, { id }]) => [symbol, id]));
  }
}
