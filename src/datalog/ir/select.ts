/** Selects: clauses without recursive atoms, over sources that can be in a FROM clause, and what they need from the store. */
import { type FlatArgument, type FlatCondition, type FlatTerm, mapConditionTerms } from "./flat.ts";
import type { Constant } from "./program.ts";

/** Anything that can stand in a FROM clause. `args` are its columns, in order. */
export interface JoinSource {
  readonly args: readonly FlatArgument[];
  /** Tables before computed sources, of equally well known ones. */
  readonly computed: boolean;
  /** Where nothing is known yet, this one comes first: the few calls that were demanded. */
  readonly leads?: boolean;
}

/** What the store knows: where facts live and which ids stand for what. */
export interface SqlCatalogue {
  /**
   * Whether the facts of a predicate key are found by the arguments at these positions in one look, whatever the others are; with `next`, those in
   * a range of that argument.
   */
  hasIndex(predicate: string, positions: readonly number[], next?: number): boolean;
  /** The most rows of a table whose values in the columns (numbers from 1) are the same and which are within the ranges; infinite where nobody knows. */
  rowsMax(table: string, columns: readonly number[], within: Loop["ranges"]): number;
  /** The table of a predicate key or a closure, `undefined` where no fact of it was ever stored. */
  factTable(predicate: string): string | undefined;
  /** The interned id of a constant, -1 where the store does not have it. */
  idOf(value: Constant): number;
  /** The range of ids of a type, empty where the store has no such type. */
  idRange(type: string): IdRange;
}

/** A source of rows: a fact table, context facts, listed ids, or a common table expression. */
export interface Relation extends JoinSource {
  /** True where one of several constants is looked for among the few rows that the other arguments find, not one after the other. */
  readonly filtered?: boolean;
  /** Only of a closure whose ends are both known: it holds of a value and itself as well. */
  readonly isReflexive?: boolean;
  readonly table:
    | { readonly kind: "fact"; readonly predicate: string }
    | { readonly kind: "context"; readonly predicate: string }
    | { readonly kind: "ids"; readonly param: string }
    /** Another table or common table expression with the columns `c0 …`. */
    | { readonly kind: "named"; readonly name: string }
    /** Columns `c0 …`; only rows with this tag. `columns` says which column each argument is. */
    | { readonly kind: "tagged"; readonly name: string; readonly tag: number; readonly columns: readonly number[] };
}

/** A place in a FROM clause: SQLite's own plan of a statement names it by its alias. */
export interface Loop {
  readonly alias: string;
  /** `json_each` for what a request lists, `undefined` for what has no rows. */
  readonly table: string | undefined;
  /** By column of a table of facts or a closure: between which ids its values are, in one range or several; `undefined` where they may be any. */
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
}

/** A clause with every term replaced. */
export function mapSelectTerms(select: Select, rename: (term: FlatTerm) => FlatTerm): Select {
  return {
    head: select.head.map(rename),
    relations: select.relations.map((relation) => renameRelation(relation, rename)),
    conditions: select.conditions.map((condition) => mapConditionTerms(condition, rename)),
    negations: select.negations.map((bodies) => bodies.map((body) => mapSelectTerms(body, rename))),
  };
}

export function renameRelation(relation: Relation, rename: (term: FlatTerm) => FlatTerm): Relation {
  return { ...relation, args: relation.args.map((arg) => (arg.kind === "oneOf" ? arg : rename(arg))) };
}
