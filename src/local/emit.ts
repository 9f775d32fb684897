/** Writes local clauses as SQL: conditions, and selections for recursion and for lists. */
import type { FlatArgument, FlatCondition, FlatTerm } from "../datalog/ir/flat.ts";
import { constantKey, stringKey } from "../datalog/ir/key.ts";
import { openTypes } from "../datalog/ir/specialised.ts";
import { must, unreachable } from "../util/assert.ts";
import type { Binding, DataBindings } from "./bindings.ts";
import {
  boundArguments,
  type CentralValues,
  keyOf,
  type LocalClause,
  type LocalRecursion,
  type LocalRow,
  type LocalVariable,
} from "./clauses.ts";
import { hasForms } from "./column-values.ts";
import { allOf, anyOf, conditionSql, noneOf, type SqlCondition } from "./condition.ts";
import { type Dialect, isValue, noFact } from "./dialect.ts";
import { about, NotExpressible } from "./not-expressible.ts";
import type { SqlNames } from "./sql-names.ts";
import { isValueOf, type SqlType } from "./sql-types.ts";
import { Comparisons, type LocalValue } from "./values.ts";

/** The values of variables. */
export type Scope = ReadonlyMap<string, LocalValue>;

export interface EmitOptions {
  readonly dialect: Dialect;
  readonly bindings: DataBindings;
  readonly names: SqlNames;
  /** `@current_unix_time`, in seconds. */
  readonly now: () => number;
}

/** The sources of a clause and its conditions. */
interface Join {
  readonly from: string[];
  readonly where: SqlCondition[];
  readonly scope: Map<string, LocalValue>;
}

/** A clause, and the values of its variables so far. */
interface Branch {
  readonly clause: LocalClause;
  readonly scope: Scope;
}

/** A row of a clause that is looked up by known values. */
interface Lookup {
  readonly branch: Branch;
  readonly row: LocalRow;
}

export class LocalEmitter {
  readonly names: SqlNames;
  readonly #dialect: Dialect;
  readonly #bindings: DataBindings;
  readonly #now: () => number;
  readonly #comparisons: Comparisons;
  #isStrict = false;

  constructor({ dialect, bindings, names, now }: EmitOptions) {
    this.names = names;
    this.#dialect = dialect;
    this.#bindings = bindings;
    this.#now = now;
    this.#comparisons = new Comparisons(dialect, bindings.sqlTypes);
  }

  /**
   * Writes SQL in which a column that has no value of its type is an error. Elsewhere such a row is no fact; under a
   * negation it would allow.
   */
  strictly<T>(write: () => T): T {
    const before = this.#isStrict;
    this.#isStrict = true;
    try {
      return write();
    } finally {
      this.#isStrict = before;
    }
  }

  /** Whether one of the clauses is true. */
  decision(clauses: readonly LocalClause[], scope: Scope): SqlCondition {
    return this.#anyBranch(clauses.map((clause) => ({ clause, scope })));
  }

  /**
   * Clauses that look up the same row share the lookup: `EXISTS (row AND (… OR …))`. A database can join a single EXISTS
   * with the query around it. With OR between several, it may compute each for all rows of the query.
   */
  #anyBranch(branches: readonly Branch[]): SqlCondition {
    const lookups = this.#dialect.nestsLookups ? this.#sharedLookup(branches) : [];
    const [first] = lookups;
    if (first === undefined)
      return anyOf(
        branches.map(({ clause, scope }) =>
          about(clause.origins, () => this.#exists(this.#join(clause, scope), scope)),
        ),
      );
    const join: Join = { from: [], where: [], scope: new Map(first.branch.scope) };
    const values = this.#bound(must(first.row.bindings[0]), first.row.args, join);
    const rests = lookups.map(({ branch: { clause, scope }, row }): Branch => {
      const named = new Map(scope);
      row.args.forEach((term, position) => {
        if ((term.kind === "var" || term.kind === "param") && !named.has(keyOf(term)))
          named.set(keyOf(term), must(values[position]));
      });
      return { clause: { ...clause, rows: clause.rows.filter((each) => each !== row) }, scope: named };
    });
    join.where.push(this.#anyBranch(rests));
    const others = branches.filter((branch) => !lookups.some((lookup) => lookup.branch === branch));
    return anyOf([this.#exists(join, first.branch.scope), this.#anyBranch(others)]);
  }

  /** The lookup that the most clauses share, at most one of each clause; none if each has lookups of its own. */
  #sharedLookup(branches: readonly Branch[]): readonly Lookup[] {
    const found = new Map<string, Lookup[]>();
    for (const branch of branches) {
      const own = new Map<string, Lookup>();
      for (const row of branch.clause.rows) {
        const key = this.#lookupKey(row, branch.scope);
        if (key !== undefined && !own.has(key)) own.set(key, { branch, row });
      }
      for (const [key, lookup] of own) found.getOrInsertComputed(key, () => []).push(lookup);
    }
    let most: readonly Lookup[] = [];
    for (const lookups of found.values()) if (lookups.length > Math.max(1, most.length)) most = lookups;
    return most;
  }

  /** Equal for rows of one binding that have the same known values; undefined if no value is known. */
  #lookupKey({ bindings, facts, args }: LocalRow, scope: Scope): string | undefined {
    const [binding, ...others] = bindings;
    if (binding === undefined || others.length > 0 || facts.length > 0) return undefined;
    let isKnown = false;
    const parts = args.map((term, position) => {
      if (term.kind === "oneOf") return term.values.map(constantKey).join(" ");
      const value = this.value(term, scope);
      if (value === undefined) {
        // Equal variables are equal columns.
        const first = args.findIndex((other) => other.kind === term.kind && this.#isSame(other, term));
        return term.kind === "var" && term.type !== undefined && term.type !== binding.types[position]
          ? "none"
          : `_${first}`;
      }
      if (value.kind === "fresh") return "none";
      isKnown = true;
      return value.kind === "constant" ? constantKey(value) : stringKey(value.id);
    });
    if (!isKnown || parts.includes("none")) return undefined;
    return [this.#bindings.bindings.indexOf(binding), ...parts].join(" ");
  }

  #isSame(one: FlatArgument, other: FlatArgument): boolean {
    const isVariable = (term: FlatArgument): term is LocalVariable => term.kind === "var" || term.kind === "param";
    return isVariable(one) && isVariable(other) && keyOf(one) === keyOf(other);
  }

  /**
   * Whether one of the clauses is true for the value that only the database knows. Clauses with recursion become one set
   * of values, which a database can compute once. Other clauses look the value up, since the set may be large. `define`
   * writes the recursive table expressions before the only set that reads them; if there is none, the caller has to.
   */
  membership(
    clauses: readonly LocalClause[],
    variable: LocalVariable,
    column: LocalValue,
    define: (set: string, keys: readonly string[]) => string,
  ): { readonly condition: SqlCondition; readonly isDefined: boolean } {
    const isSet = (clause: LocalClause): boolean =>
      (clause.recursive.length > 0 || (clause.rows.length > 0 && !this.#dialect.nestsLookups)) &&
      this.isBound(clause, variable);
    const sqlType = column.kind === "column" && column.column !== undefined ? this.#sqlType(column.type) : undefined;
    // The database may have no collation in which a column can be compared with values that have no column.
    const isNative = ({ form }: SqlType, value: LocalValue): boolean =>
      form !== "text" || this.#dialect.hasMixedCollations || value.kind !== "column" || value.column !== undefined;
    const isNamed = this.#dialect.cutsRecursion;
    const byColumn: string[] = [];
    const byId: string[] = [];
    for (const clause of clauses.filter(isSet)) {
      let known = sqlType;
      const select = this.select(clause, new Map(), (scope) => {
        const value = must(this.value(variable, scope));
        known = sqlType && isNative(sqlType, value) ? sqlType : undefined;
        return this.#keysOf(value, known)?.map((key, index) =>
          isNamed ? `${key} AS ${this.names.column(index)}` : key,
        );
      });
      if (select !== undefined) (known ? byColumn : byId).push(select);
    }
    const others = this.decision(
      clauses.filter((clause) => !isSet(clause)),
      new Map([[keyOf(variable), column]]),
    );
    const [native, id] = column.kind === "column" ? [column.column, column.id] : [];
    if (id === undefined) return { condition: others, isDefined: false };
    const reads = (text: SqlCondition): boolean => typeof text === "string" && this.names.readsRecursion(text);
    const isDefined = [byColumn.join(), byId.join(), others].filter(reads).length === 1 && !reads(others);
    const isIn = (left: readonly string[], selects: readonly string[]): SqlCondition => {
      const set = [...new Set(selects)].join(" UNION ALL ");
      const whole =
        isDefined && reads(set)
          ? define(
              set,
              [...left.keys()].map((key) => `${this.names.named("rows")}.${this.names.column(key)}`),
            )
          : set;
      return set !== "" && `${left.length === 1 ? id : `(${left.join(", ")})`} IN (${whole})`;
    };
    return { condition: anyOf([isIn([native ?? "", id], byColumn), isIn([id], byId), others]), isDefined };
  }

  /** The columns of a set that is compared with a column of the SQL type, if it has one; undefined if it is not there. */
  #keysOf(value: LocalValue, sqlType: SqlType | undefined): readonly string[] | undefined {
    if (value.kind === "fresh") return undefined;
    if (value.kind === "column") {
      const id = this.#dialect.exact(value.id);
      return sqlType ? [value.column ?? this.#dialect.typed(value.id, sqlType), id] : [id];
    }
    const string = this.#dialect.string(value.id);
    if (string === undefined || (sqlType && !isValueOf(sqlType, value.id))) return undefined;
    const id = this.#dialect.exact(string);
    return sqlType ? [this.#dialect.typedValue(sqlType, value.id), id] : [id];
  }

  /**
   * The selection of `columns` from the sources of the clause, after those of `first`. Undefined if it has no rows, or if
   * `columns` is undefined for its values.
   */
  select(
    clause: LocalClause,
    scope: Scope,
    columns: (scope: Scope) => readonly string[] | undefined,
    first: Join = { from: [], where: [], scope: new Map(scope) },
  ): string | undefined {
    return about(clause.origins, () => {
      const { from, where: own, scope: inner } = this.#join(clause, first.scope);
      const where = allOf([...first.where, ...own]);
      const selected = where === false ? undefined : columns(inner);
      if (selected === undefined) return undefined;
      const sources = [...first.from, ...from];
      if (sources.length === 0) sources.push(this.oneRow);
      const tables = ` FROM ${sources.join(" CROSS JOIN ")}`;
      return `SELECT ${selected.join(", ")}${tables}${where === true ? "" : ` WHERE ${conditionSql(where)}`}`;
    });
  }

  /** The call of a recursion as the first source of a clause, under the alias. */
  firstCall(call: LocalRecursion, alias: string): Join {
    const tag = `${alias}.${this.names.named("tag")}`;
    const join: Join = { from: [], where: [`${tag} = ${call.source.tag}`], scope: new Map() };
    this.#bindAnswers(call, alias, join);
    return join;
  }

  /** Whether a source of the clause has a value for the term; otherwise every value of its type is an answer. */
  isBound({ rows, values, recursive }: LocalClause, term: FlatTerm): boolean {
    if (term.kind !== "var" && term.kind !== "param") return true;
    const sources = [
      ...rows.flatMap(({ args }) => args),
      ...values.flatMap(({ variables }) => variables),
      ...recursive.flatMap(boundArguments),
    ];
    const key = keyOf(term);
    return sources.some((arg) => (arg.kind === "var" || arg.kind === "param") && keyOf(arg) === key);
  }

  /** A source with one row: some databases have no WHERE without FROM. */
  get oneRow(): string {
    return `(SELECT 1 AS ${this.names.named("found")}) AS ${this.names.named("one")}`;
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
        return { kind: "constant", type: "Integer", id: String(this.#now()) };
      case "fresh":
        return { kind: "fresh", type: term.type };
      default:
        return unreachable(term);
    }
  }

  #sqlType(type: string): SqlType | undefined {
    return this.#bindings.sqlTypes.get(type);
  }

  /** What a subquery needs that reads these values of the queries around it: mostly nothing. */
  uncached(outer: readonly LocalValue[]): SqlCondition {
    const isSafe = (value: LocalValue): boolean =>
      value.kind !== "column" ||
      value.isBytewise === true ||
      (value.column !== undefined && this.#sqlType(value.type)?.form === "integer");
    return outer.every(isSafe) || (this.#dialect.uncached ?? true);
  }

  #exists({ from, where: conditions }: Join, outer: Scope): SqlCondition {
    const own = allOf(conditions);
    if (own === false || from.length === 0) return own;
    const read = [...outer.values()].filter((value) => value.kind === "column" && conditionSql(own).includes(value.id));
    const where = allOf([own, this.uncached(read)]);
    return `EXISTS (SELECT 1 FROM ${from.join(" CROSS JOIN ")}${where === true ? "" : ` WHERE ${where}`})`;
  }

  #join(clause: LocalClause, outer: Scope): Join {
    const join: Join = { from: [], where: [], scope: new Map(outer) };
    for (const row of clause.rows) this.#row(row, join);
    for (const call of clause.recursive) this.#recursive(call, join);
    // One value for each row needs no join, so these come last.
    const [single, joined] = [clause.values.filter(isList), clause.values.filter((values) => !isList(values))];
    for (const values of [...joined, ...single]) this.#values(values, join);
    const { where, scope } = join;
    for (const condition of clause.conditions) where.push(this.#condition(condition, scope));
    for (const bodies of clause.negations)
      where.push(this.strictly(() => noneOf(bodies.map((body) => this.decision([body], scope)))));
    return join;
  }

  #row(row: LocalRow, join: Join): void {
    const [binding, ...others] = row.bindings;
    if (binding && others.length === 0 && row.facts.length === 0) this.#bound(binding, row.args, join);
    else this.#together(row, join);
  }

  /** Adds the query as a source. Returns the values of its signature. */
  #bound({ signature, query }: Binding, args: readonly (FlatArgument | undefined)[], join: Join): LocalValue[] {
    const alias = this.names.alias();
    const columns: string[] = [];
    const column = (type: string): LocalValue => {
      const name = this.names.column(columns.length);
      columns.push(name);
      const expression = `${alias}.${name}`;
      const sqlType = hasForms(type) ? undefined : this.#sqlType(type);
      const known = this.#dialect.id(expression, type, sqlType, this.#isStrict);
      join.where.push(isValue(this.#dialect, { expression, type, id: known }, sqlType, noFact));
      return { kind: "column", type, id: known, column: sqlType && expression };
    };
    const values = signature.args.map(({ type, id }, position): LocalValue => {
      const value: LocalValue = id === null ? column(type) : { kind: "constant", type, id };
      const term = args[position];
      if (term) this.#bind(term, value, join);
      return value;
    });
    join.from.push(this.#dialect.query(query, alias, columns));
    return values;
  }

  /** The rows of several bindings and central facts as one source, with a column for each argument that is no constant. */
  #together({ args, bindings, facts, types }: LocalRow, join: Join): void {
    const positions = [...args.keys()].filter((position) => args[position]?.kind !== "const");
    const names = positions.map((_, index) => this.names.column(index));
    const named = (values: readonly string[]): string =>
      names.length === 0
        ? `1 AS ${this.names.column(0)}`
        : names.map((name, index) => `${must(values[index])} AS ${name}`).join(", ");
    const members = bindings.flatMap((binding) => {
      const own: Join = { from: [], where: [], scope: new Map() };
      const constants = args.map((arg) => (arg.kind === "const" ? arg : undefined));
      const values = this.#bound(binding, constants, own);
      const where = allOf(own.where);
      const keys = positions.flatMap((position) => this.#keysOf(must(values[position]), undefined) ?? []);
      if (where === false || keys.length < positions.length) return [];
      return [`SELECT ${named(keys)} FROM ${own.from.join(", ")}${where === true ? "" : ` WHERE ${where}`}`];
    });
    const strings = facts
      .map((fact) => positions.map((position) => must(fact[position])))
      .filter((ids) => ids.every((id) => this.#comparisons.string(id) !== undefined));
    if (strings.length > 0 && names.length === 0) members.push(`SELECT 1 AS ${this.names.column(0)}`);
    else if (strings.length > 0) {
      const alias = this.names.alias();
      const ids = names.map((name) => this.#dialect.exact(`${alias}.${name}`));
      members.push(`SELECT ${named(ids)} FROM ${this.#dialect.values(strings, alias, names)}`);
    }
    if (members.length === 0) {
      join.where.push(false);
      return;
    }
    const alias = this.names.alias();
    join.from.push(`(${members.join(" UNION ALL ")}) AS ${alias}`);
    positions.forEach((position, index) => {
      const id = this.#dialect.exact(`${alias}.${must(names[index])}`);
      this.#bind(must(args[position]), { kind: "column", type: must(types[position]), id, column: undefined }, join);
    });
  }

  #recursive(call: LocalRecursion, join: Join): void {
    const alias = this.names.alias();
    join.from.push(this.#dialect.recursion(call.source.table, alias));
    join.where.push(`${alias}.${this.names.named("tag")} = ${call.source.tag}`);
    this.#bindAnswers(call, alias, join);
  }

  #bindAnswers({ atom, source }: LocalRecursion, alias: string, join: Join): void {
    const types = openTypes(atom.node);
    atom.args.forEach((term, position) => {
      if (source.wild.has(position)) return;
      const type = types[position];
      if (type === undefined) throw new NotExpressible("recursion over values of any type");
      const id = this.#dialect.restored(`${alias}.${this.names.column(position)}`);
      this.#bind(term, { kind: "column", type, id, column: undefined, isBytewise: true }, join);
    });
  }

  #values({ variables, rows }: CentralValues, join: Join): void {
    const [only, ...others] = variables;
    if (only === undefined) return;
    const known = this.value(only, join.scope);
    if (others.length === 0 && known) {
      const ids = rows.flatMap((row) => row);
      join.where.push(only.type === known.type && this.#comparisons.oneOf(known, ids));
      return;
    }
    const strings = rows.filter((row) => row.every((id) => this.#comparisons.string(id) !== undefined));
    if (strings.length === 0) {
      join.where.push(false);
      return;
    }
    const alias = this.names.alias();
    const names = variables.map((_, index) => this.names.column(index));
    join.from.push(this.#dialect.values(strings, alias, names));
    variables.forEach((variable, index) => {
      const id = this.#dialect.exact(`${alias}.${must(names[index])}`);
      this.#bind(variable, { kind: "column", type: must(variable.type), id, column: undefined }, join);
    });
  }

  /** Gives a variable its value, or compares the term with the value. */
  #bind(term: FlatArgument, value: LocalValue, { scope, where }: Join): void {
    if (term.kind === "oneOf") {
      const ids = term.values.flatMap(({ type, id }) => (type === value.type ? [id] : []));
      where.push(this.#comparisons.oneOf(value, ids));
      return;
    }
    const known = this.value(term, scope);
    if (known) where.push(this.#comparisons.equal(known, value));
    else if (term.kind === "var" || term.kind === "param") {
      if (term.type !== undefined && term.type !== value.type) where.push(false);
      scope.set(keyOf(term), value);
    }
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
