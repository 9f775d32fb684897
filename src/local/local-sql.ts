/**
 * Local authorization: a question as SQL that the application runs in its own database. The SQL decides what the engine
 * would decide if the rows of the bound queries were facts. What SQL can't express is refused, never approximated.
 *
 * The passes of `datalog` specialise the rules for the question. Bound signatures are fact types of its context, so that
 * their calls survive. The clauses are split into rows and central facts (`clauses.ts`) and written as SQL (`emit.ts`).
 */
import { TooLarge } from "../datalog/analysis/too-large.ts";
import { type FlatTerm, NotPlannable } from "../datalog/ir/flat.ts";
import { listKey, stringKey } from "../datalog/ir/key.ts";
import { type Constant, predicateKey } from "../datalog/ir/program.ts";
import { TooManyNodes } from "../datalog/specialise/specialise.ts";
import { ruleAt } from "../polar/rule-text.ts";
import type { Source } from "../polar/source.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { clip } from "../util/text-length.ts";
import type { DataBindings } from "./bindings.ts";
import { type CentralReader, type LocalClause, type LocalVariable, splitClause, type SplitOptions } from "./clauses.ts";
import { hasForms } from "./column-values.ts";
import { allOf, conditionSql } from "./condition.ts";
import { type Dialect, isValue, noQuestion } from "./dialect.ts";
import type { DialectName } from "./dialect-names.ts";
import { LocalEmitter, type Scope } from "./emit.ts";
import { type LocalGoal, type LocalRules, type LocalShapes, type ShapeOptions } from "./shapes.ts";
import { mysql } from "./mysql.ts";
import { NotExpressible, shownRule } from "./not-expressible.ts";
import { markingDialect, type ParameterSql, resolveMarks } from "./parameters.ts";
import { postgres } from "./postgres.ts";
import { Recursions } from "./recursion.ts";
import { SqlNames, takenPrefixes } from "./sql-names.ts";
import { sqlite } from "./sqlite.ts";

export interface LocalSqlOptions extends Omit<ShapeOptions, "bindings"> {
  readonly bindings: DataBindings;
  /** The rules that are compiled already. */
  readonly shapes: LocalShapes;
  /** A reader of central facts. `real` gives the values that placeholders in nodes stand for. */
  readonly central: (real: (value: Constant) => Constant) => CentralReader;
  /** `@current_unix_time`, in seconds. */
  readonly now: () => number;
  /** The source of the policy, for the texts of rules. */
  readonly sources: readonly Source[];
}

export interface LocalDecision {
  readonly actor: Constant;
  readonly action: string;
  readonly resource: Constant;
}

/** One row with the boolean column `allowed`. Throws `invalid_request` if SQL can't express the rules. */
export function authorizeSql(question: LocalDecision, options: LocalSqlOptions): string {
  const { actor, action, resource } = question;
  const asked = {
    key: listKey(["authorize", actor.type, action, resource.type].map(stringKey)),
    values: [actor, resource],
    names: [{ type: "String", id: action }],
  };
  return options.shapes.templates.sql(asked, options, ([own, other], inner) =>
    decisionSql(decisionGoal({ actor: must(own), action, resource: must(other) }), "allowed", inner),
  );
}

export function decisionGoal({ actor, action, resource }: LocalDecision): LocalGoal {
  const args = [actor, { type: "String", id: action }, resource].map(constant);
  return { calls: [{ predicate: allow, args }], ids: new Map() };
}

/** Rows with the column `actions`: each action that the actor may do. Throws as `authorizeSql`. */
export function actionsSql(
  {
    actor,
    resource,
    permissions,
  }: {
    readonly actor: Constant;
    readonly resource: Constant;
    /** The answers if every action is allowed. */
    readonly permissions: readonly string[];
  },
  options: LocalSqlOptions,
): string {
  const action: FlatTerm = { kind: "var", id: 0, type: "String" };
  const goal = {
    calls: [{ predicate: allow, args: [constant(actor), action, constant(resource)] }],
    ids: new Map<FlatTerm, readonly string[]>(),
  };
  return rowsSql(goal, [{ term: action, name: "actions", otherwise: permissions }], options);
}

/**
 * A condition for WHERE: whether the actor may do the action on the resource whose id is in the column. Throws
 * `invalid_request` for a text that is not the name of a column, and if SQL can't express the rules.
 */
export function listSql(
  {
    actor,
    action,
    resourceType,
    column,
  }: { readonly actor: Constant; readonly action: string; readonly resourceType: string; readonly column: string },
  options: LocalSqlOptions,
): string {
  const name = { type: "String", id: action };
  const key = listKey(["list", actor.type, action, resourceType, column].map(stringKey));
  return options.shapes.templates.sql({ key, values: [actor], names: [name] }, options, ([own], inner) => {
    const args = [constant(must(own)), constant(name), columnTerm(resourceType)];
    return conditionOn(column, resourceType, { calls: [{ predicate: allow, args }], ids: new Map() }, inner);
  });
}

/** A variable of a query: one given value, one of several, or any of its type. */
export interface LocalQueryVariable {
  readonly type: string;
  readonly ids: readonly string[] | null;
}

export interface LocalQuery {
  readonly calls: readonly { readonly predicate: string; readonly variables: readonly string[] }[];
  readonly variables: ReadonlyMap<string, LocalQueryVariable>;
}

/**
 * Rows with a column for each of these variables. Without variables, one row with the boolean column `result`. Throws as
 * `listSql`, also for a variable that can have every value.
 */
export function selectSql(query: LocalQuery, columns: ReadonlyMap<string, string>, options: LocalSqlOptions): string {
  const { goal, terms } = goalOf(query);
  if (columns.size === 0) return decisionSql(goal, "result", options);
  const outputs = [...columns].map(([variable, name]) => {
    const term = terms.get(variable);
    if (term === undefined) throw unknownVariable(variable);
    if (!/^[\p{L}_][\p{L}\p{N}_]{0,62}$/u.test(name)) throw notAColumn(name);
    return { term, name, otherwise: [] };
  });
  return rowsSql(goal, outputs, options);
}

/** A condition for WHERE: whether the query has an answer in which the variable has the id in the column. */
export function filterSql(
  query: LocalQuery,
  { variable, column }: { readonly variable: string; readonly column: string },
  options: LocalSqlOptions,
): string {
  const known = query.variables.get(variable);
  if (known === undefined) throw unknownVariable(variable);
  return conditionOn(column, known.type, goalOf(query, variable).goal, options);
}

const allow = "allow/3";
const columnKey = "column";

function constant(value: Constant): FlatTerm {
  return { kind: "const", value };
}

function columnTerm(type: string): FlatTerm {
  return { kind: "param", name: columnKey, type };
}

function unknownVariable(name: string): AppError {
  return new AppError("invalid_request", `variable \`${clip(name, 80)}\` has no constraint that says its type`);
}

/** The terms of a query's variables. The one named `filtered` is the column. */
function goalOf(
  { calls, variables }: LocalQuery,
  filtered?: string,
): { readonly goal: LocalGoal; readonly terms: ReadonlyMap<string, FlatTerm> } {
  const ids = new Map<string, readonly string[]>();
  const terms = new Map<string, FlatTerm>();
  for (const [name, { type, ids: given }] of variables) {
    const only = given?.length === 1 ? given[0] : undefined;
    const term: FlatTerm =
      name === filtered
        ? columnTerm(type)
        : only === undefined
          ? { kind: "var", id: terms.size, type }
          : constant({ type, id: only });
    terms.set(name, term);
    if (given !== null && term.kind !== "const") ids.set(name, given);
  }
  const args = (names: readonly string[]): FlatTerm[] =>
    names.map((name) => {
      const term = terms.get(name);
      if (term === undefined) throw unknownVariable(name);
      return term;
    });
  const goal = {
    calls: calls.map((call) => ({
      predicate: predicateKey(call.predicate, call.variables.length),
      args: args(call.variables),
    })),
    ids: new Map([...ids].map(([name, values]) => [must(terms.get(name)), values])),
  };
  return { goal, terms };
}

function decisionSql(goal: LocalGoal, name: string, options: LocalSqlOptions): string {
  return compiled(goal, [], undefined, options, ({ clauses, emitter, recursions }) => {
    const condition = emitter.decision(clauses, new Map());
    const checked = typeof condition === "string" ? recursions.checked(condition) : conditionSql(condition);
    return recursions.limited(`${typeof condition === "string" ? recursions.prefix : ""}SELECT ${checked} AS ${name}`);
  });
}

function conditionOn(given: string, type: string, goal: LocalGoal, options: LocalSqlOptions): string {
  const dialect = dialectOf(options.bindings);
  const column = columnOf(given, dialect.name);
  const sqlType = hasForms(type) ? undefined : options.bindings.sqlTypes.get(type);
  const typed = sqlType && column;
  const value = { kind: "column", type, id: dialect.id(column, type, sqlType), column: typed } as const;
  const variable: LocalVariable = { kind: "param", name: columnKey, type };
  return compiled(goal, [], column, options, ({ clauses, emitter, recursions }) => {
    const define = (set: string, keys: readonly string[]): string =>
      recursions.checks.length === 0 ? recursions.prefix + set : recursions.completeRows(keys, set);
    const { condition, isDefined } = emitter.membership(clauses, variable, value, define);
    if (typeof condition === "boolean") return conditionSql(condition);
    // `NOT EXISTS` would be true for a NULL, which is no value.
    const isKnown = isValue(dialect, { expression: column, type, id: value.id }, sqlType, noQuestion);
    const known = [isKnown, condition];
    const isSubquery = recursions.prefix !== "" && !isDefined;
    const uncached = isSubquery && emitter.uncached([value]);
    const guarded = `(${conditionSql(allOf([...known, ...(typeof uncached === "string" ? [uncached] : [])]))})`;
    return recursions.limited(isSubquery ? `(${recursions.prefix}SELECT ${recursions.checked(guarded)})` : guarded);
  });
}

interface OutputColumn {
  readonly term: FlatTerm;
  /** As it is written in SQL. */
  readonly name: string;
  /** The answers if every value is one; without them that is refused. */
  readonly otherwise: readonly string[];
}

function rowsSql(goal: LocalGoal, outputs: readonly OutputColumn[], options: LocalSqlOptions): string {
  const dialect = dialectOf(options.bindings);
  const head = outputs.map(({ term }) => term);
  const literal = (text: string): string => {
    const string = dialect.string(text);
    if (string === undefined) throw new NotExpressible("an answer that the database can't hold");
    return dialect.exact(string);
  };
  return compiled(goal, head, undefined, options, ({ clauses, emitter, recursions }) => {
    const selects = clauses.flatMap((clause) => {
      const open = outputs.findIndex((_, position) => !emitter.isBound(clause, must(clause.head[position])));
      const choices = open < 0 ? [""] : must(outputs[open]).otherwise;
      if (open >= 0 && (outputs.length > 1 || choices.length === 0))
        throw new NotExpressible(`every value is an answer for ${must(outputs[open]).name}: ask with a filter instead`);
      return choices.flatMap((choice) => {
        const row = (scope: Scope): string[] =>
          outputs.map((_, position) => {
            const value = open < 0 ? emitter.value(must(clause.head[position]), scope) : undefined;
            const text =
              value?.kind === "column"
                ? dialect.exact(value.id)
                : literal(value?.kind === "constant" ? value.id : choice);
            return `${text} AS ${emitter.names.column(position)}`;
          });
        return emitter.select(clause, new Map(), row) ?? [];
      });
    });
    const nothing = outputs
      .map((_, position) => `${dialect.id("NULL", "String")} AS ${emitter.names.column(position)}`)
      .join(", ");
    if (selects.length === 0) selects.push(`SELECT ${nothing} FROM ${emitter.oneRow} WHERE 1 = 0`);
    const union =
      selects.length === 1 ? must(selects[0]).replace(/^SELECT /, "SELECT DISTINCT ") : selects.join(" UNION ");
    const names = outputs.map(
      ({ name }, position) =>
        `${dialect.shown(`${emitter.names.named("rows")}.${emitter.names.column(position)}`)} AS ${dialect.quoted(name)}`,
    );
    return recursions.limited(recursions.completeRows(names, union));
  });
}

interface CompiledGoal {
  readonly clauses: readonly LocalClause[];
  readonly emitter: LocalEmitter;
  readonly recursions: Recursions;
}

/**
 * Compiles the goal and writes it with `emit`. `column` is the column of the application that the goal is about. Errors
 * about rules become those of a request.
 */
export function compiled<T>(
  goal: LocalGoal,
  head: readonly FlatTerm[],
  column: string | undefined,
  options: LocalSqlOptions,
  emit: (goal: CompiledGoal) => T,
): T {
  const { bindings, limits, now, shapes } = options;
  const dialect = dialectOf(bindings);
  let count = 0;
  try {
    const rules: LocalRules = shapes.rules(goal, head, options);
    const split: SplitOptions = {
      bindings: bindings.bindings,
      context: options.context,
      nodes: rules.nodes,
      central: options.central(rules.real),
      recursion: (node) => recursions.sources(node),
      ids: rules.ids,
      spend: () => {
        if (++count > limits.planClausesMax) throw new NotPlannable("too many clauses");
      },
    };
    const names = new SqlNames(takenBy(bindings), takenPrefixes(column ?? ""));
    const emitter = new LocalEmitter({ dialect, bindings, names, now });
    const recursions = new Recursions({
      dialect,
      split: () => split,
      clausesOf: rules.clausesOf,
      emitter: () => emitter,
    });
    const outer = new Set(column === undefined ? [] : [`@${columnKey}`]);
    const clauses = rules.clauses.flatMap((clause) => splitClause(clause, split, outer));
    return emit({ clauses, emitter, recursions });
  } catch (error) {
    throw refusalOf(error, options.sources);
  }
}

const takenByBindings = new WeakMap<DataBindings, ReadonlySet<string>>();

function takenBy(bindings: DataBindings): ReadonlySet<string> {
  return takenByBindings.getOrInsertComputed(bindings, () =>
    takenPrefixes(bindings.bindings.map(({ query }) => query).join("\n")),
  );
}

function refusalOf(error: unknown, sources: readonly Source[]): unknown {
  const remedy = "ask with `authorize` or `list`, or bind other facts";
  if (error instanceof NotExpressible || error instanceof NotPlannable) {
    const rule = shownRule(error.origins);
    const { text, file, line } = rule ? ruleAt(rule.span, sources) : { text: "", file: "", line: 0 };
    const where = text === "" ? "the policy" : `the rule \`${text}\` (${file}:${line})`;
    const message = `${where} has no exact SQL for this question: ${error.message}; ${remedy}`;
    return new AppError("invalid_request", message, { cause: error });
  }
  if (error instanceof TooManyNodes || error instanceof TooLarge)
    return new AppError("query_too_expensive", `the policy is too large for this question: ${remedy}`, {
      cause: error,
    });
  return error;
}

const dialects = { postgres, mysql, sqlite };
const marking = { postgres: markingDialect(postgres), mysql: markingDialect(mysql), sqlite: markingDialect(sqlite) };

export function dialectOf({ dialect, hasParameters = false }: DataBindings): Dialect {
  return hasParameters ? marking[dialect] : dialects[dialect];
}

/** The SQL for bindings `withParameters`, with its parameters. */
export function parameterSql(sql: string, { dialect }: DataBindings): ParameterSql {
  return resolveMarks(sql, dialects[dialect]);
}

const columnName =
  /^(?:[\p{L}_][\p{L}\p{N}_]*|"[^"\0\\]+"|`[^`\0\\]+`)(?:\.(?:[\p{L}_][\p{L}\p{N}_]*|"[^"\0\\]+"|`[^`\0\\]+`)){0,3}$/u;

/** The column becomes SQL as it is. */
function isColumn(column: string): boolean {
  return column.length <= 256 && columnName.test(column);
}

/** The column as SQL that can only be a column. Throws `invalid_request`. */
function columnOf(column: string, dialect: DialectName): string {
  if (!isColumn(column)) throw notAColumn(column);
  if (dialect === "mysql" && column.replaceAll(/`[^`]*`/g, "").includes('"'))
    throw new AppError("invalid_request", `\`${column}\` is a text in MySQL: write \` instead of "`);
  if (dialect !== "sqlite") return column;
  // Before 3.36, a subquery has a row id as well, which is NULL.
  if (/^(["`]?)(?:rowid|oid|_rowid_)\1$/i.test(column))
    throw new AppError(
      "invalid_request",
      `\`${column}\` is a row id of each source in SQLite: write its table before it, such as \`document.rowid\``,
    );
  // A name in double quotes that no column has is a text.
  return column.replace(/^"([^"`]+)"$/, "`$1`");
}

function notAColumn(column: string): AppError {
  return new AppError(
    "invalid_request",
    `\`${clip(column, 80)}\` is not the name of a column, such as \`document.id\``,
  );
}
