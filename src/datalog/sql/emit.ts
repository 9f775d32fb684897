/**
 * Emits selects, sources, conditions and terms as SQL. The text has only generated names and numbers: values of a
 * request are parameters, and constants of the policy are symbol ids.
 */
import { must, unreachable } from "../../util/assert.ts";
import type { FlatArgument, FlatCondition, FlatTerm } from "../ir/flat.ts";
import type { Loop, Relation, Select, SqlCatalogue } from "../ir/select.ts";
import { estimateBy, isFewBeside, rangesOf } from "../rewrite/estimate.ts";
import { isKnown, joinOrder, bindingName } from "../rewrite/join-order.ts";

/**
 * Numbers parameters by name, in the order of first use. A parameter is always part of an expression: SQLite reads bare
 * parameters in a join when it plans, and plans again for each other value, which takes ten times as long as running
 * it.
 */
export class StatementParameters {
  readonly #slots = new Map<string, number>();

  /** The expression for an integer parameter. */
  number(name: string): string {
    return `(${this.#slot(name)} + 0)`;
  }

  text(name: string): string {
    return `(${this.#slot(name)} || '')`;
  }

  names(): string[] {
    return [...this.#slots.keys()];
  }

  #slot(name: string): string {
    return `?${this.#slots.getOrInsertComputed(name, () => this.#slots.size + 1)}`;
  }
}

export interface SqlContext {
  readonly catalogue: SqlCatalogue;
  readonly parameters: StatementParameters;
  /** Returns a table alias that is unique in the statement, so that a nested query never hides an outer table. */
  alias(): string;
  /** The names of sources with one row and no columns. Joins omit them. */
  readonly units: Set<string>;
  /** Called for each source in a FROM clause. */
  readonly onLoop?: (loop: Loop) => void;
}

export type SqlBindings = ReadonlyMap<string, string>;

/** `SELECT columns FROM … WHERE …`. `columns` makes the select list of the head. `first` must lead the join. */
export function emitSelect(
  select: Select,
  columns: (head: readonly string[]) => string,
  context: SqlContext,
  outer: SqlBindings = new Map(),
  first?: Relation,
): string {
  const bindings = new Map(outer);
  const bound = new Set(outer.keys());
  const where: string[] = [];
  const from: string[] = [];
  let negated = select.negations.flat();
  let room = joinedMax - select.relations.length - (first ? 1 : 0);
  const join = (relation: Relation): void => {
    if (relation.table.kind === "tagged" && context.units.has(relation.table.name)) return;
    from.push(`${from.length > 0 ? " CROSS JOIN " : ""}${emitRelation(relation, bindings, where, context)}`);
    for (const arg of relation.args) bound.add(bindingName(arg) ?? "");
    // A negation is tested as soon as its variables are bound, so that rows that fail are not joined further.
    negated = negated.filter((body) => {
      const fact = room > 0 ? soleFact(body, bound, outer, context.catalogue) : undefined;
      if (fact === undefined) return true;
      from.push(emitAbsence(fact, bindings, where, context));
      room -= 1;
      return false;
    });
  };
  if (first) join(first);
  for (const relation of joinOrder(select.relations, new Set(bound), estimateBy(context.catalogue))) join(relation);
  for (const condition of select.conditions) where.push(emitCondition(condition, bindings, context));
  for (const body of negated) where.push(`NOT EXISTS (${emitSelect(body, () => "1", context, bindings)})`);
  const head = select.head.map((term) => (isKnown(term, bound) ? emitTerm(term, bindings, context) : "NULL"));
  const tables = from.length > 0 ? ` FROM ${from.join("")}` : "";
  const conditions = where.length > 0 ? ` WHERE ${where.join(" AND ")}` : "";
  return `SELECT ${columns(head)}${tables}${conditions}`;
}

/** SQLite's limit of tables in one join. */
const joinedMax = 64;

/**
 * The fact of a negated body that is a single fact, with known arguments which differ between rows. SQLite evaluates a
 * `NOT EXISTS` that is the same for all rows only once, so the join is for the others.
 */
function soleFact(body: Select, bound: Set<string>, outer: SqlBindings, catalogue: SqlCatalogue): Relation | undefined {
  const [relation, ...others] = body.relations;
  if (relation?.table.kind !== "fact" || catalogue.factTable(relation.table.predicate) === undefined) return undefined;
  if (others.length + body.conditions.length + body.negations.length > 0) return undefined;
  const isWhole = relation.args.every((arg) => arg.kind !== "oneOf" && isKnown(arg, bound));
  return isWhole && relation.args.some((arg) => arg.kind === "var" && !outer.has(`v${arg.id}`)) ? relation : undefined;
}

/** A left join that requires the absence of the fact. For many rows it takes half the time of `NOT EXISTS`. */
function emitAbsence(fact: Relation, bindings: SqlBindings, where: string[], context: SqlContext): string {
  const on: string[] = [];
  const table = emitRelation(fact, new Map(bindings), on, context);
  where.push(`${table.slice(table.lastIndexOf(" ") + 1)}.a1 IS NULL`);
  return ` LEFT JOIN ${table} ON ${on.join(" AND ")}`;
}

export function emitRelation(
  relation: Relation,
  bindings: Map<string, string>,
  where: string[],
  context: SqlContext,
): string {
  const alias = context.alias();
  const { table } = relation;
  const isPrimaryForced = forcesPrimaryIndex(relation, bindings, context.catalogue);
  relation.args.forEach((arg, position) =>
    emitArgument(relation, arg, columnOf(relation, alias, position), bindings, where, context),
  );
  const reportLoop = (name: string | undefined, within: Loop["ranges"] = []): void =>
    context.onLoop?.({ alias, table: name, ranges: within });
  switch (table.kind) {
    case "fact": {
      const name = context.catalogue.factTable(table.predicate);
      reportLoop(
        name,
        relation.args.map((arg) => rangesOf(arg, context.catalogue)),
      );
      return name === undefined
        ? `(SELECT ${relation.args.map((_, index) => `NULL AS a${index + 1}`).join(", ")} WHERE 0) AS ${alias}`
        : `${name} AS ${alias}${isPrimaryForced ? ` INDEXED BY sqlite_autoindex_${name}_1` : ""}`;
    }
    case "context":
    case "ids": {
      const param = table.kind === "ids" ? table.param : `context:${table.predicate}`;
      reportLoop("json_each");
      return `json_each(${context.parameters.text(param)}) AS ${alias}`;
    }
    case "named":
    case "tagged":
      reportLoop(table.name);
      if (table.kind === "tagged") where.push(`${alias}.tag = ${table.tag}`);
      return `${table.name} AS ${alias}`;
    default:
      return unreachable(table);
  }
}

/**
 * Whether to force the primary index, for lookups of one constant after another. To sort the rows, SQLite would
 * otherwise choose an index in that order, and scan all rows with other constants.
 */
function forcesPrimaryIndex(relation: Relation, bindings: SqlBindings, catalogue: SqlCatalogue): boolean {
  const { args, table, filtered } = relation;
  if (table.kind !== "fact" || filtered === true) return false;
  const bound = new Set(bindings.keys());
  const isGiven = (arg: FlatArgument): boolean => isKnown(arg, bound);
  const open = args.findIndex((arg) => !isGiven(arg));
  const leading = args.slice(0, Math.max(open, 0));
  if (!leading.some((arg) => arg.kind === "oneOf") || args.slice(open).some(isGiven)) return false;
  const known = leading.flatMap((arg, position) => (arg.kind === "oneOf" ? [] : [position]));
  return known.length > 0 && !isFewBeside(relation, known, catalogue);
}

function columnOf(relation: Relation, alias: string, position: number): string {
  const { table } = relation;
  switch (table.kind) {
    case "fact":
      return `${alias}.a${position + 1}`;
    case "context":
      return `(${alias}.value ->> ${position})`;
    case "ids":
      return `${alias}.value`;
    case "named":
      return `${alias}.c${position}`;
    case "tagged":
      return `${alias}.c${must(table.columns[position])}`;
    default:
      return unreachable(table);
  }
}

function emitArgument(
  { filtered }: Relation,
  arg: FlatArgument,
  column: string,
  bindings: Map<string, string>,
  where: string[],
  context: SqlContext,
): void {
  if (arg.kind === "oneOf") {
    const ids = arg.values.map((value) => context.catalogue.idOf(value));
    // The sign keeps SQLite from using an index on this column.
    where.push(
      filtered ? `(${ids.map((id) => `+${column} = ${id}`).join(" OR ")})` : `${column} IN (${ids.join(", ")})`,
    );
    return;
  }
  const key = bindingName(arg);
  const isColumn = arg.kind === "var" || key?.startsWith("@") === true;
  if (key === undefined || !isColumn || bindings.has(key)) {
    // The sign keeps SQLite from inferring a lookup of the other column by this one, which is bound later: SQLite would
    // then ignore the range of the other column.
    where.push(`${column} = ${isColumn ? "+" : ""}${emitTerm(arg, bindings, context)}`);
    return;
  }
  bindings.set(key, column);
  if (arg.kind === "var" && arg.type !== undefined) where.push(emitRange(column, arg.type, context));
}

function emitRange(expression: string, type: string, context: SqlContext): string {
  const { low, high } = context.catalogue.idRange(type);
  return `${expression} BETWEEN ${low} AND ${high}`;
}

export function emitCondition(condition: FlatCondition, bindings: SqlBindings, context: SqlContext): string {
  switch (condition.kind) {
    case "equal":
      return `${emitTerm(condition.left, bindings, context)} = ${emitTerm(condition.right, bindings, context)}`;
    case "type": {
      const term = emitTerm(condition.term, bindings, context);
      return `(${condition.types.map((type) => emitRange(term, type, context)).join(" OR ") || "0"})`;
    }
    case "compare": {
      const { left, right, operator } = condition;
      if (operator === "!=") return `${emitTerm(left, bindings, context)} <> ${emitTerm(right, bindings, context)}`;
      return `${emitInteger(left, bindings, context)} ${operator} ${emitInteger(right, bindings, context)}`;
    }
    default:
      return unreachable(condition);
  }
}

/** The symbol id of a term. */
export function emitTerm(term: FlatTerm, bindings: SqlBindings, context: SqlContext): string {
  switch (term.kind) {
    case "var":
      return must(bindings.get(`v${term.id}`), "a variable without a source");
    case "param":
      return term.name.startsWith("@")
        ? must(bindings.get(term.name), "a demanded value without a source")
        : context.parameters.number(term.name);
    case "const":
      return String(context.catalogue.idOf(term.value));
    case "now":
      return context.parameters.number("now");
    case "fresh":
      return term.type === undefined ? "-2" : String(context.catalogue.idRange(term.type).high);
    default:
      return unreachable(term);
  }
}

/** The number of an Integer term. For a term without a number it is NULL, so that every comparison is false. */
function emitInteger(term: FlatTerm, bindings: SqlBindings, context: SqlContext): string {
  if (term.kind === "const") return `CAST('${BigInt(term.value.id)}' AS INTEGER)`;
  if (term.kind === "now") return context.parameters.number("nowSeconds");
  if (term.kind === "fresh") return "NULL";
  return `CAST(${emitValue(emitTerm(term, bindings, context), context)} AS INTEGER)`;
}

/** The string of a symbol id, from the store or from the symbols of the request. */
export function emitValue(id: string, context: SqlContext): string {
  const stored = `(SELECT value FROM symbol WHERE id = ${id})`;
  const symbols = context.parameters.text("requestSymbols");
  const requested = `(SELECT value ->> 1 FROM json_each(${symbols}) WHERE value ->> 0 = ${id})`;
  return `COALESCE(${stored}, ${requested})`;
}
