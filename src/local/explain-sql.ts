/**
 * What the rows of the application's database add to a decision: the alternatives that rows can make true, each with its
 * condition, its rules and its rows.
 */
import type { FlatTerm } from "../datalog/ir/flat.ts";
import { type PlacedRule, ruleAt } from "../polar/rule-text.ts";
import { must } from "../util/assert.ts";
import type { DialectName } from "./dialect-names.ts";
import type { LocalClause, LocalRow } from "./clauses.ts";
import { conditionSql, type SqlCondition } from "./condition.ts";
import type { Dialect } from "./dialect.ts";
import type { LocalEmitter } from "./emit.ts";
import { compiled, decisionGoal, dialectOf, type LocalDecision, type LocalSqlOptions } from "./local-sql.ts";

export interface ExplainedSql {
  readonly dialect: DialectName;
  /** `depends`: rows decide. Otherwise no row can change the decision. */
  readonly decision: "allow" | "deny" | "depends";
  /** As `authorizeSql`. */
  readonly sql: string;
  /** Empty unless rows decide. */
  readonly alternatives: Alternative[];
  /** Whether there are more than these. */
  readonly more: boolean;
}

interface Alternative {
  /** Outer ones first. */
  readonly rules: PlacedRule[];
  readonly condition: string;
  /** The rows that have to exist together. */
  readonly rows: {
    /** Of the binding that has the row; several are separated by "or". */
    readonly signature: string;
    readonly predicate: string;
    readonly args: { readonly type: string; readonly id: string | null; readonly column: string | null }[];
  }[];
  /** Selects the rows; null if there are none to name. */
  readonly rows_sql: string | null;
}

/** At most `alternativesMax` alternatives. Throws as `authorizeSql`. */
export function explainSql(question: LocalDecision, alternativesMax: number, options: LocalSqlOptions): ExplainedSql {
  const dialect = dialectOf(options.bindings);
  return compiled(decisionGoal(question), [], undefined, options, ({ clauses, emitter, recursions }) => {
    const decided = (condition: SqlCondition): string =>
      typeof condition === "string"
        ? recursions.limited(`${recursions.prefix}SELECT ${recursions.checked(condition)}`)
        : `SELECT ${conditionSql(condition)}`;
    const whole = emitter.decision(clauses, new Map());
    const known = { dialect: dialect.name, sql: `${decided(whole)} AS allowed` };
    if (typeof whole === "boolean")
      return { ...known, decision: whole ? "allow" : "deny", alternatives: [], more: false };
    const conditions = clauses.map((clause) => emitter.decision([clause], new Map()));
    const possible = [...clauses.keys()].filter((index) => conditions[index] !== false);
    const alternatives = possible.slice(0, alternativesMax).map((index): Alternative => {
      const clause = must(clauses[index]);
      const condition = must(conditions[index]);
      const { rows, select } = selectionOf(clause, dialect, emitter);
      return {
        rules: rulesOf(clause, options),
        condition: recursions.prefix === "" ? conditionSql(condition) : `(${decided(condition)})`,
        rows,
        rows_sql: select === undefined ? null : recursions.prefix + select,
      };
    });
    return { ...known, decision: "depends", alternatives, more: possible.length > alternatives.length };
  });
}

function rulesOf({ origins = [] }: LocalClause, { sources }: LocalSqlOptions): PlacedRule[] {
  const written = origins.flatMap(({ rule }) => (rule.implicit ? [] : [ruleAt(rule.span, sources)]));
  return written.filter(({ file, line, column }, index) => {
    const before = written[index - 1];
    return before?.file !== file || before.line !== line || before.column !== column;
  });
}

/**
 * The rows of the clause, and the SQL that selects their ids: one column for each argument that is not fixed. A source
 * with several bindings or with central facts has all signatures of its rows.
 */
function selectionOf(
  clause: LocalClause,
  dialect: Dialect,
  emitter: LocalEmitter,
): { readonly rows: Alternative["rows"]; readonly select: string | undefined } {
  const open = withVariables(clause);
  const columns = open.rows.map(({ args }, row) =>
    args.map((arg, position) => (arg.kind === "const" ? undefined : { arg, name: `r${row}_${position}` })),
  );
  const rows = open.rows.map(({ bindings, args, types }, row) => ({
    signature: bindings.map(({ signature }) => signature.text.trim()).join(" or "),
    predicate: bindings[0]?.signature.predicate ?? "",
    args: args.map((arg, position) => ({
      type: must(types[position]),
      id: arg.kind === "const" ? arg.value.id : null,
      column: columns[row]?.[position]?.name ?? null,
    })),
  }));
  if (rows.length === 0) return { rows, select: undefined };
  const select = emitter.select(open, new Map(), (scope) => {
    const selected = columns.flat().flatMap((column) => {
      const value = column && emitter.value(column.arg as FlatTerm, scope);
      if (column === undefined || value === undefined) return [];
      const text = value.kind === "column" ? value.id : dialect.string(value.kind === "constant" ? value.id : "");
      return [`${dialect.shown(dialect.id(text ?? "NULL", "String"))} AS ${column.name}`];
    });
    return selected.length === 0 ? ["1 AS found"] : selected;
  });
  return { rows, select };
}

/** The clause with a variable in place of each argument that is one of several constants, so that it can be selected. */
function withVariables(clause: LocalClause): LocalClause {
  const values = [...clause.values];
  let next = -1;
  const rows = clause.rows.map((row): LocalRow => {
    const args = row.args.map((arg, position) => {
      if (arg.kind !== "oneOf") return arg;
      const variable = { kind: "var", id: next--, type: must(row.types[position]) } as const;
      const ids = arg.values.flatMap(({ type, id }) => (type === variable.type ? [[id]] : []));
      values.push({ variables: [variable], rows: ids });
      return variable;
    });
    return { ...row, args };
  });
  return { ...clause, rows, values };
}
