/**
 * Local authorization: a question as SQL that the application runs in its own database. The SQL decides what the engine
 * would decide if the rows of the bound queries were facts. What SQL can't express is refused, never approximated.
 *
 * The passes of `datalog` specialise the rules for the question. Bound signatures are fact types of its context, so that
 * their calls survive. The clauses are split into rows and central facts (`clauses.ts`) and written as SQL (`emit.ts`).
 */
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { TooLarge } from "../datalog/analysis/too-large.ts";
import { type FlatTerm, NotPlannable } from "../datalog/ir/flat.ts";
import type { Constant, DatalogProgram } from "../datalog/ir/program.ts";
import { contextSignatures, specialise } from "../datalog/pipeline.ts";
import { simplify } from "../datalog/rewrite/simplify.ts";
import { unfoldBody } from "../datalog/rewrite/unfold.ts";
import { TooManyNodes } from "../datalog/specialise/specialise.ts";
import { AppError } from "../util/app-error.ts";
import { clip } from "../util/text-length.ts";
import type { DataBindings } from "./bindings.ts";
import { type CentralReader, splitClause } from "./clauses.ts";
import { allOf, conditionSql, type SqlCondition } from "./condition.ts";
import type { Dialect } from "./dialect.ts";
import { LocalEmitter, type Scope } from "./emit.ts";
import { localFactTypes, LocalNodes } from "./local-facts.ts";
import { NotExpressible } from "./not-expressible.ts";
import { postgres } from "./postgres.ts";
import { Recursions } from "./recursion.ts";
import { sqlite } from "./sqlite.ts";
import type { LocalValue } from "./values.ts";

export interface LocalSqlOptions {
  readonly program: DatalogProgram;
  /** The fact types that answers read. */
  readonly facts: readonly FactType[];
  /** The types of the request's context facts. */
  readonly context: readonly FactType[];
  readonly bindings: DataBindings;
  readonly central: CentralReader;
  /** `@current_unix_time`, in seconds. */
  readonly now: number;
  readonly limits: LocalSqlLimits;
}

export interface LocalSqlLimits {
  readonly planClausesMax: number;
  readonly planStepsMax: number;
  readonly planNodesMax: number;
  readonly policyTypingsMax: number;
}

/** One row with the boolean column `allowed`. Throws `invalid_request` if SQL can't express the rules. */
export function authorizeSql(
  { actor, action, resource }: { readonly actor: Constant; readonly action: string; readonly resource: Constant },
  options: LocalSqlOptions,
): string {
  const terms = [actor, { type: "String", id: action }, resource].map(constant);
  const { condition, definitions } = decide(terms, new Map(), options);
  return `${withDefinitions(definitions)}SELECT ${conditionSql(condition)} AS allowed`;
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
  const dialect = dialectOf(options.bindings);
  checkColumn(column);
  const resource: FlatTerm = { kind: "param", name: "column", type: resourceType };
  const value: LocalValue = {
    kind: "column",
    type: resourceType,
    id: dialect.id(column, resourceType),
    column: options.bindings.sqlTypes.has(resourceType) ? column : undefined,
  };
  const terms = [constant(actor), constant({ type: "String", id: action }), resource];
  const { condition, definitions } = decide(terms, new Map([["@column", value]]), options);
  if (typeof condition === "boolean") return conditionSql(condition);
  // `NOT EXISTS` would be true for a NULL, which is no resource.
  const guarded = `(${conditionSql(allOf([dialect.isValue(column, resourceType), condition]))})`;
  return definitions.length === 0 ? guarded : `(${withDefinitions(definitions)}SELECT ${guarded})`;
}

function constant(value: Constant): FlatTerm {
  return { kind: "const", value };
}

function withDefinitions(definitions: readonly string[]): string {
  return definitions.length === 0 ? "" : `WITH RECURSIVE ${definitions.join(", ")} `;
}

/** `allow` for these terms: constants, and values that only the database knows, which are in the scope. */
function decide(
  terms: readonly FlatTerm[],
  scope: Scope,
  options: LocalSqlOptions,
): { readonly condition: SqlCondition; readonly definitions: readonly string[] } {
  const { bindings, program, facts, limits } = options;
  const dialect = dialectOf(bindings);
  try {
    const local = localFactTypes(bindings);
    const context = [...options.context, ...local];
    const goal = {
      calls: [
        {
          predicate: "allow/3",
          args: terms.map((term, index) => (term.kind === "const" ? term : { kind: "var" as const, index })),
        },
      ],
      types: terms.map((term) => (term.kind === "param" ? term.type : undefined)),
    };
    const body = specialise(goal, {
      program,
      facts,
      context,
      signatures: contextSignatures({ program, factTypes: facts }, context, limits.policyTypingsMax),
      nodesMax: limits.planNodesMax,
      typingsMax: limits.policyTypingsMax,
    });
    if (body === undefined) return { condition: false, definitions: [] };
    return emitBody(body, terms, scope, dialect, options);
  } catch (error) {
    throw refusalOf(error);
  }
}

function emitBody(
  body: Parameters<typeof unfoldBody>[0],
  terms: readonly FlatTerm[],
  scope: Scope,
  dialect: Dialect,
  { bindings, central, context, limits, now }: LocalSqlOptions,
): { readonly condition: SqlCondition; readonly definitions: readonly string[] } {
  let [variables, steps, clauses] = [terms.length, 0, 0];
  const unfold = {
    clausesMax: limits.planClausesMax,
    fresh: () => variables++,
    spend: () => {
      if (++steps > limits.planStepsMax) throw new NotPlannable("planning takes too long");
    },
  };
  const split = {
    bindings: bindings.bindings,
    context,
    nodes: new LocalNodes(bindings.bindings),
    central,
    spend: () => {
      if (++clauses > limits.planClausesMax) throw new NotPlannable("too many clauses");
    },
  };
  const recursions: Recursions = new Recursions({ dialect, split, unfold, emitter: () => emitter });
  const emitter = new LocalEmitter({ dialect, bindings, now, recursion: (node) => recursions.source(node) });
  const flat = simplify(unfoldBody(body, terms, [], [], unfold));
  const outer = new Set(scope.keys());
  const local = flat.flatMap((clause) => splitClause(clause, split, outer));
  return { condition: emitter.decision(local, scope), definitions: recursions.definitions };
}

function refusalOf(error: unknown): unknown {
  const remedy = "check the question with `authorize`, or bind other facts";
  if (error instanceof NotExpressible || error instanceof NotPlannable)
    return new AppError("invalid_request", `the policy has no exact SQL for this question: ${error.message}; ${remedy}`, {
      cause: error,
    });
  if (error instanceof TooManyNodes || error instanceof TooLarge)
    return new AppError("query_too_expensive", `the policy is too large for this question: ${remedy}`, { cause: error });
  return error;
}

function dialectOf({ dialect }: DataBindings): Dialect {
  switch (dialect) {
    case "postgres":
      return postgres;
    case "sqlite":
      return sqlite;
    case "mysql":
      throw new AppError("invalid_request", "`dialect: mysql` has no SQL yet; use `postgres` or `sqlite`");
  }
}

const columnName = /^(?:[\p{L}_][\p{L}\p{N}_]*|"[^"\0\\]+"|`[^`\0\\]+`)(?:\.(?:[\p{L}_][\p{L}\p{N}_]*|"[^"\0\\]+"|`[^`\0\\]+`)){0,3}$/u;

/** The column becomes SQL as it is. Names that begin with `ost` and a digit would be hidden by names of the SQL. */
function checkColumn(column: string): void {
  const isName = column.length <= 256 && columnName.test(column);
  if (!isName || /(?:^|[."`])ostr?\d|(?:^|[."`])ost_/i.test(column))
    throw new AppError(
      "invalid_request",
      `\`column\` is \`${clip(column, 80)}\`; it must be the name of a column, such as \`document.id\``,
    );
}
