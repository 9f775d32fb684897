/** Writes local clauses as SQL: conditions, and selections for recursion. */
import type { FlatArgument, FlatCondition, FlatTerm, RecursiveAtom } from "../datalog/ir/flat.ts";
import { openTypes, type PredicateNode } from "../datalog/ir/specialised.ts";
import { must, unreachable } from "../util/assert.ts";
import type { DataBindings } from "./bindings.ts";
import { type CentralValues, keyOf, type LocalClause, type LocalRow } from "./clauses.ts";
import { allOf, anyOf, conditionSql, noneOf, type SqlCondition } from "./condition.ts";
import type { Dialect } from "./dialect.ts";
import { about, NotExpressible } from "./not-expressible.ts";
import { Comparisons, type LocalValue } from "./values.ts";

/** The values of variables. */
export type Scope = ReadonlyMap<string, LocalValue>;

/** Where the answers of a recursive node are: a common table expression with the columns `tag` and `c0 …`. */
export interface RecursiveSource {
  readonly table: string;
  readonly tag: number;
}

export interface EmitOptions {
  readonly dialect: Dialect;
  readonly bindings: DataBindings;
  /** `@current_unix_time`, in seconds. */
  readonly now: number;
  /** Defines the answers of the node, if they are not defined yet; undefined if it has none. */
  readonly recursion: (node: PredicateNode) => RecursiveSource | undefined;
}

/** The sources of a clause and its conditions. */
interface Join {
  readonly from: readonly string[];
  readonly where: SqlCondition;
  readonly scope: Scope;
}

/** A source with one row: some databases have no WHERE without FROM. */
export const oneRow = "(SELECT 1 AS ost_one) AS ost_row";

export class LocalEmitter {
  readonly #options: EmitOptions;
  readonly #comparisons: Comparisons;
  #aliases = 0;

  constructor(options: EmitOptions) {
    this.#options = options;
    this.#comparisons = new Comparisons(options.dialect, options.bindings.sqlTypes);
  }

  /** Whether one of the clauses is true. */
  decision(clauses: readonly LocalClause[], scope: Scope): SqlCondition {
    return anyOf(clauses.map((clause) => about(clause.origins, () => this.#exists(this.#join(clause, scope)))));
  }

  /** The selection of `columns` from the sources `first` and the clause; undefined if it has no rows. */
  select(
    clause: LocalClause,
    scope: Scope,
    columns: (scope: Scope) => readonly string[],
    first: readonly string[],
    conditions: readonly SqlCondition[],
  ): string | undefined {
    const { from, where: own, scope: inner } = about(clause.origins, () => this.#join(clause, scope));
    const where = allOf([...conditions, own]);
    if (where === false) return undefined;
    const sources = [...first, ...from];
    if (sources.length === 0) sources.push(oneRow);
    const tables = ` FROM ${sources.join(" CROSS JOIN ")}`;
    return `SELECT ${columns(inner).join(", ")}${tables}${where === true ? "" : ` WHERE ${conditionSql(where)}`}`;
  }

  /** The columns of a source of recursive answers, as values. */
  answersOf(alias: string, types: readonly (string | undefined)[]): LocalValue[] {
    return types.map((type, index) => {
      if (type === undefined) throw new NotExpressible("recursion over values of any type");
      return { kind: "column", type, id: this.#options.dialect.exact(`${alias}.c${index}`), column: undefined };
    });
  }

  /** Whether the clause has a value for the term; otherwise every value of its type is an answer. */
  isBound({ rows, values, recursive }: LocalClause, term: FlatTerm): boolean {
    if (term.kind !== "var") return true;
    const sources = [
      ...rows.map(({ args }) => args),
      ...values.map(({ variables }) => variables),
      ...recursive.map(({ args }) => args),
    ];
    return sources.flat().some((arg) => arg.kind === "var" && arg.id === term.id);
  }

  equal(left: LocalValue, right: LocalValue): SqlCondition {
    return this.#comparisons.equal(left, right);
  }

  alias(): string {
    return `ost${this.#aliases++}`;
  }

  /** The value of a term; undefined for a variable that nothing binds. */
  value(term: FlatTerm, scope: Scope): LocalValue | undefined {
    switch (term.kind) {
      case "var":
      case "param":
        return scope.get(keyOf(term));
      case "const":
        return { kind: "constant", ...term.value };
      case "now":
        return { kind: "constant", type: "Integer", id: String(this.#options.now) };
      case "fresh":
        return { kind: "fresh", type: term.type };
      default:
        return unreachable(term);
    }
  }

  #exists({ from, where }: Join): SqlCondition {
    if (where === false || from.length === 0) return where;
    return `EXISTS (SELECT 1 FROM ${from.join(" CROSS JOIN ")}${where === true ? "" : ` WHERE ${conditionSql(where)}`})`;
  }

  #join(clause: LocalClause, outer: Scope): Join {
    const scope = new Map(outer);
    const from: string[] = [];
    const where: SqlCondition[] = [];
    for (const row of clause.rows) this.#row(row, scope, from, where);
    for (const atom of clause.recursive) this.#recursive(atom, scope, from, where);
    // One value for each row needs no join, so these come last.
    const [single, joined] = [clause.values.filter(isList), clause.values.filter((values) => !isList(values))];
    for (const values of [...joined, ...single]) this.#values(values, scope, from, where);
    for (const condition of clause.conditions) where.push(this.#condition(condition, scope));
    for (const bodies of clause.negations) where.push(noneOf(bodies.map((body) => this.decision([body], scope))));
    return { from, where: allOf(where), scope };
  }

  #row({ binding, args }: LocalRow, scope: Map<string, LocalValue>, from: string[], where: SqlCondition[]): void {
    const { dialect, bindings } = this.#options;
    const alias = this.alias();
    const columns: string[] = [];
    binding.signature.args.forEach(({ type, id }, position) => {
      const term = must(args[position]);
      if (id !== null) {
        this.#bind(term, { kind: "constant", type, id }, scope, where);
        return;
      }
      const name = `c${columns.length}`;
      columns.push(name);
      const column = `${alias}.${name}`;
      const typed = bindings.sqlTypes.has(type) ? column : undefined;
      where.push(dialect.isValue(column, type));
      this.#bind(term, { kind: "column", type, id: dialect.id(column, type), column: typed }, scope, where);
    });
    from.push(dialect.query(binding.query, alias, columns));
  }

  #recursive(
    { node, args }: RecursiveAtom,
    scope: Map<string, LocalValue>,
    from: string[],
    where: SqlCondition[],
  ): void {
    const source = this.#options.recursion(node);
    if (source === undefined) {
      where.push(false);
      return;
    }
    const { table, tag } = source;
    const alias = this.alias();
    from.push(`${table} AS ${alias}`);
    where.push(`${alias}.tag = ${tag}`);
    const values = this.answersOf(alias, openTypes(node));
    args.forEach((term, position) => this.#bind(term, must(values[position]), scope, where));
  }

  #values(
    { variables, rows }: CentralValues,
    scope: Map<string, LocalValue>,
    from: string[],
    where: SqlCondition[],
  ): void {
    const [only, ...others] = variables;
    if (only === undefined) return;
    if (variables.some((variable) => variable.type === undefined))
      throw new NotExpressible("a value of any type, which central facts give");
    const known = this.value(only, scope);
    if (others.length === 0 && known) {
      const ids = rows.flatMap((row) => row);
      where.push(only.type === known.type && this.#comparisons.oneOf(known, ids));
      return;
    }
    const strings = rows.flatMap((row) => {
      const texts = row.flatMap((id) => this.#comparisons.string(id) ?? []);
      return texts.length === row.length ? [texts] : [];
    });
    if (strings.length === 0) {
      where.push(false);
      return;
    }
    const alias = this.alias();
    const columns = variables.map((_, index) => `c${index}`);
    from.push(this.#options.dialect.values(strings, alias, columns));
    const values = this.answersOf(
      alias,
      variables.map(({ type }) => type),
    );
    variables.forEach((variable, position) => this.#bind(variable, must(values[position]), scope, where));
  }

  /** Gives a variable its value, or compares the term with the value. */
  #bind(term: FlatArgument, value: LocalValue, scope: Map<string, LocalValue>, where: SqlCondition[]): void {
    if (term.kind === "oneOf") {
      const ids = term.values.flatMap(({ type, id }) => (type === value.type ? [id] : []));
      where.push(this.#comparisons.oneOf(value, ids));
      return;
    }
    const known = this.value(term, scope);
    if (known) where.push(this.#comparisons.equal(known, value));
    else if (term.kind === "var") {
      if (term.type !== undefined && term.type !== value.type) where.push(false);
      scope.set(keyOf(term), value);
    } else throw new Error("broken assumption: a value of the database is known");
  }

  #condition(condition: FlatCondition, scope: Scope): SqlCondition {
    const value = (term: FlatTerm): LocalValue => {
      const known = this.value(term, scope);
      if (!known) throw new NotExpressible("a comparison of a value that no fact gives");
      return known;
    };
    switch (condition.kind) {
      case "equal":
        return this.#comparisons.equal(value(condition.left), value(condition.right));
      case "compare":
        return this.#comparisons.compare(condition.operator, value(condition.left), value(condition.right));
      case "type": {
        const type = value(condition.term).type;
        if (type === undefined) throw new NotExpressible("a condition on the type of a value of any type");
        return condition.types.includes(type);
      }
      default:
        return unreachable(condition);
    }
  }
}

function isList({ variables }: CentralValues): boolean {
  return variables.length === 1;
}
