/** The facts that the evaluator reads: stored facts and the context facts of the request. Values are symbols. */
import { type Constant, splitKey } from "../../datalog/ir/program.ts";
import type { TypeName } from "../../datalog/ir/signature.ts";
import type { SpecialisedCall } from "../../datalog/ir/specialised.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { factTable } from "../../store/facts/fact-tables.ts";
import { unnamedPerType } from "../../store/facts/symbols.ts";
import { AppError } from "../../util/app-error.ts";
import type { RequestSymbols } from "../request/request-symbols.ts";
import type { TypeIds } from "../request/type-ids.ts";

/** Symbols by position or by variable; `undefined` if the symbol is not known. */
export type SymbolIds = readonly (number | undefined)[];

/** Thrown if a call matches more facts than may be read at a time. */
export class TooManyFacts extends AppError {
  constructor(factsMax: number) {
    super(
      "query_too_expensive",
      `the question has to read more than ${factsMax} facts at a time: ask for less, or for one value`,
    );
  }
}

const valuesAtATime = 1000;

export class FactReader {
  readonly now: number;
  readonly #database: Connection;
  readonly #types: TypeIds;
  readonly #symbols: RequestSymbols;
  readonly #factsMax: number | undefined;

  /** With more than `factsMax` facts at a time, it throws `TooManyFacts`. */
  constructor(database: Connection, types: TypeIds, symbols: RequestSymbols, nowSeconds: number, factsMax?: number) {
    this.#factsMax = factsMax;
    this.#database = database;
    this.#types = types;
    this.#symbols = symbols;
    this.now = symbols.symbolOf({ type: "Integer", id: String(nowSeconds) });
  }

  /** The facts that match a call: known arguments have the given symbols, all others have the given types. */
  rows(call: SpecialisedCall, args: SymbolIds, types: readonly TypeName[]): SymbolIds[] {
    const stored = call.fact ? this.#stored(call.predicate, args, types) : [];
    const context = call.context
      ? this.#symbols
          .rows(call.predicate)
          .filter((row) => args.every((arg, at) => arg === undefined || arg === row[at]))
      : [];
    return [...stored, ...context].filter((row) =>
      row.every(
        (symbol, index) =>
          args[index] !== undefined || types[index] === undefined || this.#types.contains(types[index], symbol),
      ),
    );
  }

  constant(value: Constant): number {
    return this.#symbols.symbolOf(value);
  }

  hasType(symbol: number | undefined, types: ReadonlySet<string>): boolean {
    return [...types].some((type) => this.#types.contains(type, symbol));
  }

  /** Whether the symbol stands for any value that nothing names. */
  isUnnamed(symbol: number): boolean {
    return symbol < 0 || 2 ** 32 - (symbol % 2 ** 32) <= unnamedPerType;
  }

  /** All values of a type (or of all types), after `unnamed` symbols for values that nothing names. */
  *valuesOf(type: string | undefined, unnamed: number): Generator<number> {
    const { low, high } = type === undefined ? { low: 0, high: -1 } : this.#types.range(type);
    for (let ordinal = 0; ordinal < unnamed; ordinal++) yield high - ordinal;
    const isMeant = (symbol: number): boolean => type === undefined || (symbol >= low && symbol <= high);
    yield* this.#storedValues(type === undefined ? 0 : low, type === undefined ? Number.MAX_SAFE_INTEGER : high);
    for (const symbol of this.#symbols.newSymbols()) if (isMeant(symbol)) yield symbol;
  }

  /** Reads a few at a time: there may be millions, and mostly one of the first is enough. */
  *#storedValues(low: number, high: number): Generator<number> {
    const select = this.#database.statement("SELECT id FROM symbol WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3");
    for (let next = low, found = valuesAtATime; found === valuesAtATime;) {
      const rows = select.values(next, high, valuesAtATime);
      for (const row of rows) yield Number(row[0]);
      found = rows.length;
      next = Number(rows.at(-1)?.[0]) + 1;
    }
  }

  integer(symbol: number | undefined): bigint | undefined {
    const value = symbol === undefined ? undefined : this.#symbols.valueOf(symbol);
    return value?.type === "Integer" ? BigInt(value.id) : undefined;
  }

  #stored(predicate: string, args: SymbolIds, types: readonly TypeName[]): SymbolIds[] {
    const [name, arity] = splitKey(predicate);
    const table = factTable(this.#database, name, arity);
    if (!table) return [];
    const parameters: number[] = [];
    const slot = (value: number): string => `?${parameters.push(value)}`;
    const conditions = args.flatMap((arg, index) => {
      if (arg !== undefined) return [`a${index + 1} = ${slot(arg)}`];
      const type = types[index];
      if (type === undefined) return [];
      const { low, high } = this.#types.range(type);
      return [`a${index + 1} BETWEEN ${slot(low)} AND ${slot(high)}`];
    });
    const columns = args.map((_, index) => `a${index + 1}`).join(", ");
    const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
    const limit = this.#factsMax === undefined ? "" : ` LIMIT ${slot(this.#factsMax + 1)}`;
    const sql = `SELECT ${columns} FROM ${table}${where}${limit}`;
    const rows = this.#database.statement(sql).values(...parameters) as number[][];
    if (this.#factsMax !== undefined && rows.length > this.#factsMax) throw new TooManyFacts(this.#factsMax);
    return rows;
  }
}
