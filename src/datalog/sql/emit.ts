/**
 * SQL for flat clauses whose recursive atoms were already replaced by their answers. Text is made of our own names and
 * numbers alone: values of a request are parameters, constants of the policy are their interned ids.
 */
import { must, unreachable } from "../../util/assert.ts";
import type { FlatArgument, FlatCondition, FlatTerm } from "../ir/flat.ts";
import type { Loop, Relation, Select, SqlCatalogue } from "../ir/select.ts";
import type { TypeName } from "../ir/signature.ts";
import { estimateBy, isFewBeside, rangesOf } from "../rewrite/estimate.ts";
import { isKnown, joinOrder, bindingName } from "../rewrite/join-order.ts";

/**
 * Numbers the parameters of a statement by name, in order of first use. Never bare: SQLite's planner looks at the
 * values of bare parameters in a join, and then plans the statement anew each time it is run with others, which takes
 * ten times as long as running it.
 */
export class StatementParameters {
  readonly #slots = new Map<string, number>();

  /** An integer. */
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
    const known = this.#slots.get(name);
    if (known !== undefined) return `?${known}`;
    this.#slots.set(name, this.#slots.size + 1);
    return `?${this.#slots.size}`;
  }
}

export interface SqlContext {
  readonly catalogue: SqlCatalogue;
  readonly parameters: StatementParameters;
  /** Numbers for table aliases, unique within a statement so that nested queries never hide an outer one. */
  alias(): string;
  /** Names of sources that would be one row without columns: they are left out of every join. */
  readonly units: Set<string>;
  /** Is told of every place in a FROM clause. */
  readonly onLoop?: (loop: Loop) => void;
}

export type SqlBindings = ReadonlyMap<string, string>;

/**
 * `SELECT columns FROM … WHERE …`. `columns` turns the head into the select list. `first` is a relation that must lead
 * the join.
 */
export function emitSelect(
  select: Select,
  columns: (head: readonly string[]) => string,
  emission: SqlContext,
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
    if (relation.table.kind === "tagged" && emission.units.has(relation.table.name)) return;
    from.push(`${from.length > 0 ? " CROSS JOIN " : ""}${emitRelation(relation, bindings, where, emission)}`);
    for (const arg of relation.args) bound.add(bindingName(arg) ?? "");
    // As soon as its values are known, so that nothing is joined to a row that does not count.
    negated = negated.filter((body) => {
      const fact = room > 0 ? soleFact(body, bound, outer, emission.catalogue) : undefined;
      if (fact === undefined) return true;
      from.push(emitAbsence(fact, bindings, where, emission));
      room -= 1;
      return false;
    });
  };
  if (first) join(first);
  for (const relation of joinOrder(select.relations, new Set(bound), estimateBy(emission.catalogue))) join(relation);
  for (const condition of select.conditions) where.push(emitCondition(condition, bindings, emission));
  for (const body of negated) where.push(`NOT EXISTS (${emitSelect(body, () => "1", emission, bindings)})`);
  const head = select.head.map((term) => (isKnown(term, bound) ? emitTerm(term, bindings, emission) : "NULL"));
  const tables = from.length > 0 ? ` FROM ${from.join("")}` : "";
  const conditions = where.length > 0 ? ` WHERE ${where.join(" AND ")}` : "";
  return `SELECT ${columns(head)}${tables}${conditions}`;
}

/** The tables that SQLite takes in one join. */
const joinedMax = 64;

/**
 * The one fact that a negated body is, where all its arguments are known and it is another one for each row. What is
 * the same for all rows is for `NOT EXISTS`, which is asked once then.
 */
function soleFact(body: Select, bound: Set<string>, outer: SqlBindings, names: SqlCatalogue): Relation | undefined {
  const [relation, ...others] = body.relations;
  if (relation?.table.kind !== "fact" || names.factTable(relation.table.predicate) === undefined) return undefined;
  if (others.length + body.conditions.length + body.negations.length > 0) return undefined;
  const isWhole = relation.args.every((arg) => arg.kind !== "oneOf" && isKnown(arg, bound));
  return isWhole && relation.args.some((arg) => arg.kind === "var" && !outer.has(`v${arg.id}`)) ? relation : undefined;
}

/** A join that finds no such fact: for each of many rows it takes half of what `NOT EXISTS` does. */
function emitAbsence(fact: Relation, bindings: SqlBindings, where: string[], emission: SqlContext): string {
  const on: string[] = [];
  const table = emitRelation(fact, new Map(bindings), on, emission);
  where.push(`${table.slice(table.lastIndexOf(" ") + 1)}.a1 IS NULL`);
  return ` LEFT JOIN ${table} ON ${on.join(" AND ")}`;
}

export function emitRelation(
  relation: Relation,
  bindings: Map<string, string>,
  where: string[],
  emission: SqlContext,
): string {
  const alias = emission.alias();
  const { table } = relation;
  const isInOwnOrder = goesByLists(relation, bindings, emission.catalogue);
  relation.args.forEach((arg, position) =>
    emitArgument(relation, arg, columnOf(relation, alias, position), bindings, where, emission),
  );
  const sees = (name: string | undefined, within: Loop["ranges"] = []): void =>
    emission.onLoop?.({ alias, table: name, ranges: within });
  switch (table.kind) {
    case "fact": {
      const name = emission.catalogue.factTable(table.predicate);
      sees(
        name,
        relation.args.map((arg) => rangesOf(arg, emission.catalogue)),
      );
      return name === undefined
        ? `(SELECT ${relation.args.map((_, index) => `NULL AS a${index + 1}`).join(", ")} WHERE 0) AS ${alias}`
        : `${name} AS ${alias}${isInOwnOrder ? ` INDEXED BY sqlite_autoindex_${name}_1` : ""}`;
    }
    case "context":
    case "ids": {
      const param = table.kind === "ids" ? table.param : `context:${table.predicate}`;
      sees("json_each");
      return `json_each(${emission.parameters.text(param)}) AS ${alias}`;
    }
    case "named":
      sees(table.name);
      return `${table.name} AS ${alias}`;
    case "tagged":
      sees(table.name);
      where.push(`${alias}.tag = ${table.tag}`);
      return `${table.name} AS ${alias}`;
    default:
      return unreachable(table);
  }
}

/**
 * Whether facts are to be looked for with one constant after another, in the order of the arguments themselves: where
 * SQLite has to sort what it finds, it would else take an order that spares it that, and pass by all that there is
 * beside.
 */
function goesByLists(relation: Relation, bindings: SqlBindings, names: SqlCatalogue): boolean {
  const { args, table, filtered } = relation;
  if (table.kind !== "fact" || filtered === true) return false;
  const bound = new Set(bindings.keys());
  const isGiven = (arg: FlatArgument): boolean => isKnown(arg, bound);
  const open = args.findIndex((arg) => !isGiven(arg));
  const leading = args.slice(0, Math.max(open, 0));
  if (!leading.some((arg) => arg.kind === "oneOf") || args.slice(open).some(isGiven)) return false;
  const known = leading.flatMap((arg, position) => (arg.kind === "oneOf" ? [] : [position]));
  return known.length > 0 && !isFewBeside(relation, known, names);
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
  emission: SqlContext,
): void {
  if (arg.kind === "oneOf") {
    const ids = arg.values.map((value) => emission.catalogue.idOf(value));
    // The sign keeps SQLite from going by this column.
    where.push(
      filtered ? `(${ids.map((id) => `+${column} = ${id}`).join(" OR ")})` : `${column} IN (${ids.join(", ")})`,
    );
    return;
  }
  const key = bindingName(arg);
  const isColumn = arg.kind === "var" || key?.startsWith("@") === true;
  if (key === undefined || !isColumn || bindings.has(key)) {
    // The sign keeps SQLite from looking for the other column by this one, which comes later: it would let go of that
    // one's range.
    where.push(`${column} = ${isColumn ? "+" : ""}${emitTerm(arg, bindings, emission)}`);
    return;
  }
  bindings.set(key, column);
  const type: TypeName = arg.kind === "var" ? arg.type : undefined;
  if (type !== undefined) where.push(emitRange(column, type, emission));
}

function emitRange(expression: string, type: string, emission: SqlContext): string {
  const { low, high } = emission.catalogue.idRange(type);
  return `${expression} BETWEEN ${low} AND ${high}`;
}

export function emitCondition(condition: FlatCondition, bindings: SqlBindings, emission: SqlContext): string {
  switch (condition.kind) {
    case "equal":
      return `${emitTerm(condition.left, bindings, emission)} = ${emitTerm(condition.right, bindings, emission)}`;
    case "type": {
      const term = emitTerm(condition.term, bindings, emission);
      return `(${condition.types.map((type) => emitRange(term, type, emission)).join(" OR ") || "0"})`;
    }
    case "compare": {
      const { left, right, operator } = condition;
      if (operator === "!=") return `${emitTerm(left, bindings, emission)} <> ${emitTerm(right, bindings, emission)}`;
      return `${emitInteger(left, bindings, emission)} ${operator} ${emitInteger(right, bindings, emission)}`;
    }
    default:
      return unreachable(condition);
  }
}

/** The id of a term. */
export function emitTerm(term: FlatTerm, bindings: SqlBindings, emission: SqlContext): string {
  switch (term.kind) {
    case "var":
      return must(bindings.get(`v${term.id}`), "a variable without a source");
    case "param":
      return term.name.startsWith("@")
        ? must(bindings.get(term.name), "a demanded value without a source")
        : emission.parameters.number(term.name);
    case "const":
      return String(emission.catalogue.idOf(term.value));
    case "now":
      return emission.parameters.number("now");
    case "fresh":
      return term.type === undefined ? "-2" : String(emission.catalogue.idRange(term.type).high);
    default:
      return unreachable(term);
  }
}

/** The number that an Integer term stands for; NULL, so that no comparison holds, where it stands for none. */
function emitInteger(term: FlatTerm, bindings: SqlBindings, emission: SqlContext): string {
  if (term.kind === "const") return `CAST('${BigInt(term.value.id)}' AS INTEGER)`;
  if (term.kind === "now") return emission.parameters.number("nowSeconds");
  if (term.kind === "fresh") return "NULL";
  return `CAST(${emitValue(emitTerm(term, bindings, emission), emission)} AS INTEGER)`;
}

/** The text of an interned id, or of a value that only this request brings. */
export function emitValue(id: string, emission: SqlContext): string {
  const stored = `(SELECT value FROM symbol WHERE id = ${id})`;
  const brought = `(SELECT value ->> 1 FROM json_each(${emission.parameters.text("brought")}) WHERE value ->> 0 = ${id})`;
  return `COALESCE(${stored}, ${brought})`;
}
