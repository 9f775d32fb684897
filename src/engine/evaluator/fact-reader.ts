/** Facts for the evaluator: the stored ones by indexed probe, and the context facts of the request. Values are interned ids. */
import { type Constant, splitKey } from "../../datalog/ir/program.ts";
import type { TypeName } from "../../datalog/ir/signature.ts";
import type { SpecialisedLiteral } from "../../datalog/ir/specialised.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { factTable } from "../../store/facts/fact-tables.ts";
import { unnamedPerType } from "../../store/facts/symbols.ts";
import { AppError } from "../../util/app-error.ts";
import type { RequestSymbols } from "../request/request-symbols.ts";
import type { TypeIds } from "../request/type-ids.ts";

/** By position or variable; `undefined` where nothing is known. */
export type SymbolIds = readonly (number | undefined)[];

/** Thrown where a call means more facts than may be read in one go. */
export class TooManyFacts extends AppError {
  constructor(factsMax: number) {
    super("query_too_expensive", `the question has to look at more than ${factsMax} facts at a time`);
  }
}

const valuesAtATime = 1000;

type CallLiteral = Extract<SpecialisedLiteral, { kind: "call" }>;

export class FactReader {
  readonly now: number;
  readonly #database: Connection;
  readonly #types: TypeIds;
  readonly #brought: RequestSymbols;
  readonly #factsMax: number | undefined;

  /** At most `factsMax` facts are read in one go; past that, `TooManyFacts`. */
  constructor(database: Connection, types: TypeIds, brought: RequestSymbols, nowSeconds: number, factsMax?: number) {
    this.#factsMax = factsMax;
    this.#database = database;
    this.#types = types;
    this.#brought = brought;
    this.now = brought.idOf({ type: "Integer", id: String(nowSeconds) });
  }

  /** The facts that a call may mean, given what is known of its arguments, and the types of those that are not. */
  rows(call: CallLiteral, args: SymbolIds, types: readonly TypeName[]): SymbolIds[] {
    const stored = call.fact ? this.#stored(call.predicate, args, types) : [];
    const context = call.context
      ? this.#brought.rows(call.predicate).filter((row) => row.every((id, index) => fits(args[index], id)))
      : [];
    return [...stored, ...context].filter((row) =>
      row.every(
        (id, index) =>
          args[index] !== undefined || types[index] === undefined || this.#types.contains(types[index], id),
      ),
    );
  }

  constant(value: Constant): number {
    return this.#brought.idOf(value);
  }

  hasType(id: number | undefined, types: ReadonlySet<string>): boolean {
    return [...types].some((type) => this.#types.contains(type, id));
  }

  /** True of an id that stands for any value which nothing names. */
  isUnnamed(id: number): boolean {
    return id < 0 || 2 ** 32 - (id % 2 ** 32) <= unnamedPerType;
  }

  /**
   * All values of a type (of all types, without one) that the store or the request has, and before them `unnamed` ids for values that nothing
   * names: rules treat all of those alike.
   */
  *valuesOf(type: string | undefined, unnamed: number): Generator<number> {
    const { low, high } = type === undefined ? { low: 0, high: -1 } : this.#types.range(type);
    for (let ordinal = 0; ordinal < unnamed; ordinal++) yield high - ordinal;
    const isMeant = (id: number): boolean => type === undefined || (id >= low && id <= high);
    yield* this.#storedValues(type === undefined ? 0 : low, type === undefined ? Number.MAX_SAFE_INTEGER : high);
    for (const id of this.#brought.ids()) if (isMeant(id)) yield id;
  }

  /** A few at a time: there may be millions, and mostly one of the first will do. */
  *#storedValues(low: number, high: number): Generator<number> {
    const ids = this.#database.statement("SELECT id FROM symbol WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3");
    for (let next = low, found = valuesAtATime; found === valuesAtATime;) {
      const rows = ids.values(next, high, valuesAtATime);
      for (const row of rows) yield Number(row[0]);
      found = rows.length;
      next = Number(rows.at(-1)?.[0]) + 1;
    }
  }

  integer(id: number | undefined): bigint | undefined {
    const value = id === undefined ? undefined : this.#brought.valueOf(id);
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

function fits(known: number | undefined, id: number | undefined): boolean {
  return known === undefined || known === id;
}
