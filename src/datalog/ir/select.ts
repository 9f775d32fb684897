/** Selects: clauses over sources for a FROM clause, and what SQL generation needs to know about the store. */
import type { FlatArgument, FlatCondition, FlatTerm, OpenAnswer } from "./flat.ts";
import { type Constant, mapCondition } from "./program.ts";

/** A source for a FROM clause. `args` are its columns, in order. */
export interface JoinSource {
  readonly args: readonly FlatArgument[];
  /** True for a common table expression. Among equally selective sources, tables come first. */
  readonly computed: boolean;
  /** True for the demanded calls of a recursion, which are few: this source comes first if nothing is bound yet. */
  readonly leads?: boolean;
}

/** What SQL generation needs to know about the store: tables, indexes, symbols and statistics. */
export interface SqlCatalogue {
  /**
   * Whether an index of the predicate's facts begins with the arguments at these positions, in any order, and continues
   * with `next`, if given, so that a range of that argument can be scanned.
   */
  hasIndex(predicate: string, positions: readonly number[], next?: number): boolean;
  /** The maximum number of rows with equal values in the columns (from 1) and values in the ranges; may be infinite. */
  rowsMax(table: string, columns: readonly number[], within: Loop["ranges"]): number;
  /** The table of a predicate key or a closure; `undefined` if no fact of it was ever stored. */
  factTable(predicate: string): string | undefined;
  /** The symbol id of a constant, or -1 if the store does not have it. */
  idOf(value: Constant): number;
  /** The range of symbol ids of a type; empty if the store has no such type. */
  idRange(type: string): IdRange;
}

/** A source of rows: a fact table, context facts, listed ids, or a common table expression. */
export interface Relation extends JoinSource {
  /** The other arguments find few rows: constants are tested on these rows, instead of one lookup for each. */
  readonly filtered?: boolean;
  /** Only for a closure with two known ends: it also relates each value to itself. */
  readonly isReflexive?: boolean;
  readonly table:
    | { readonly kind: "fact" | "context"; readonly predicate: string }
    | { readonly kind: "ids"; readonly param: string }
    /** A table or common table expression with the columns `c0 …`. */
    | { readonly kind: "named"; readonly name: string }
    /** The rows with this tag, of a table expression with the columns `c0 …`. `columns` has each argument's column. */
    | { readonly kind: "tagged"; readonly name: string; readonly tag: number; readonly columns: readonly number[] };
}

/** A source in a FROM clause: a loop of SQLite's query plan, which names it by its alias. */
export interface Loop {
  readonly alias: string;
  /** `json_each` for a list of the request; `undefined` for a source without rows. */
  readonly table: string | undefined;
  /** The id ranges of each column, for a table of facts or a closure; `undefined` for any value. */
  readonly ranges: readonly (readonly IdRange[] | undefined)[];
}

export interface IdRange {
  readonly low: number;
  readonly high: number;
}

/** A clause ready for SQL. */
export interface Select {
  readonly head: readonly FlatTerm[];
  readonly relations: readonly Relation[];
  readonly conditions: readonly FlatCondition[];
  readonly negations: readonly (readonly Select[])[];
  /** Present if the answers are open: then the head has a witness (`fresh`) for each open value. */
  readonly open?: OpenSelect;
}

export interface OpenSelect extends OpenAnswer {
  /** False if the select is only a necessary condition: then the evaluator decides whether it has an open answer. */
  readonly isExact: boolean;
}

/** The select with `rename` applied to every term. */
export function mapSelectTerms(select: Select, rename: (term: FlatTerm) => FlatTerm): Select {
  return {
    ...select,
    head: select.head.map(rename),
    relations: select.relations.map((relation) => renameRelation(relation, rename)),
    conditions: select.conditions.map((condition) => mapCondition(condition, rename)),
    negations: select.negations.map((bodies) => bodies.map((body) => mapSelectTerms(body, rename))),
  };
}

export function renameRelation(relation: Relation, rename: (term: FlatTerm) => FlatTerm): Relation {
  return { ...relation, args: relation.args.map((arg) => (arg.kind === "oneOf" ? arg : rename(arg))) };
}
