/**
 * The report of `ostiary plan`: how a question is answered under a policy, over an empty store or that of a node. It
 * shows the specialised rules, the materialized closures, the SQL, and SQLite's query plan.
 */
import type { Limits } from "../../config/limits.ts";
import type { OpenAnswer } from "../../datalog/ir/flat.ts";
import { listKey, numberKey, stringKey, typeKey } from "../../datalog/ir/key.ts";
import { predicateKey } from "../../datalog/ir/program.ts";
import { compileProgram, passes, type PassName } from "../../datalog/pipeline.ts";
import { PassTrace } from "../../datalog/print/pass-trace.ts";
import { printClosure, type PrintedNode, printNodes, printQuestion } from "../../datalog/print/print-rules.ts";
import type { ClosureLabels } from "../../datalog/print/print-terms.ts";
import { ruleAt } from "../../polar/rule-text.ts";
import { lineStarts, type Position, positionAt, type Source } from "../../polar/source.ts";
import { stringLiteral } from "../../polar/string-literal.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { closureTables } from "../../store/facts/closure-tables.ts";
import { factTables } from "../../store/facts/fact-tables.ts";
import { symbolRange } from "../../store/facts/symbols.ts";
import { createState } from "../../store/log/store-state.ts";
import { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { closuresOf } from "../../log/derived/policy-closures.ts";
import { activationOf } from "../../policy/activation.ts";
import { acceptedPolicyLimits, type ActivePolicy, joinSources, programLimits } from "../../policy/active-policy.ts";
import { readFactTypes } from "../../policy/head-facts.ts";
import { unknownNames } from "../../policy/unknown-names.ts";
import { applyEvent } from "../../log/state/apply.ts";
import { costBoundOf } from "./cost-bound.ts";
import { type Plan, Planner, type StatementPlan } from "./planner.ts";
import type { Shape, ShapeVariable } from "./shapes.ts";

/** One argument of a question: a value from the request, a constant of the policy, or a value that is asked for. */
export type PlanArgument =
  | { readonly kind: "given" | "asked"; readonly type: string }
  | { readonly kind: "constant"; readonly type: string; readonly id: string };

export interface PlanQuestion {
  readonly predicate: string;
  readonly args: readonly PlanArgument[];
}

/** A rule, unless it is not known, that can have open answers, with the condition under which a list has them. */
export interface PlannedRefusal {
  readonly rule: PlacedNode["rules"][number] | null;
  readonly reason: OpenAnswer["reason"];
  readonly type: string | null;
}

/** A predicate node with the positions of its rules, if they are in a file. */
export interface PlacedNode {
  readonly node: string;
  readonly recursive: boolean;
  readonly rules: readonly { readonly text: string; readonly place: (Position & { readonly file: string }) | null }[];
}

export interface PlanReport {
  readonly question: string;
  /**
   * `statement`: one SQL statement. `steps`: no statement fits, the evaluator answers. `nothing`: no rule and no fact
   * can answer.
   */
  readonly answeredBy: "statement" | "steps" | "nothing";
  /** Why the statement may refuse a list: the rules that have answers for values that no fact names. */
  readonly refusals: readonly PlannedRefusal[];
  /** Names in the question that the policy does not have, with the most similar names that it has. */
  readonly unknown: readonly string[];
  /** The question as a conjunction of nodes, and the nodes. */
  readonly rules: { readonly question: string; readonly nodes: readonly PlacedNode[] } | null;
  /** Closures that the statement reads, and closures that are too large to be materialized. */
  readonly closures: readonly {
    readonly table: string;
    readonly step: string;
    readonly rows: number;
    readonly kept: boolean;
  }[];
  /** The cost bound of the statement in rows; `null` if no statement answers, or the bound is not known. */
  readonly rowsMax: number | null;
  /** The fact tables that the statement names, with their predicates. */
  readonly tables: readonly { readonly table: string; readonly predicate: string }[];
  /** Indexes of these tables that the policy needs and the statement uses. */
  readonly indexes: readonly string[];
  /** Symbols in the statement with their values, and symbol ranges with their types. */
  readonly constants: readonly { readonly id: number; readonly value: string }[];
  readonly types: readonly { readonly low: number; readonly high: number; readonly type: string }[];
  readonly sql: string | null;
  /** The parameters of the statement, in order. */
  readonly parameters: readonly string[];
  /** SQLite's query plan, one line for each step, indented by depth. */
  readonly queryPlan: readonly string[];
  /** Present on request: the program after each pass of the compiler that ran, as far as the question reaches it. */
  readonly passes?: readonly PassReport[];
}

export interface PassReport {
  readonly pass: PassName;
  /** What the pass does, and the reason. */
  readonly why: string;
  readonly program: readonly string[];
}

export interface PlanReportOptions {
  readonly limits: Limits;
  readonly withPasses: boolean;
}

/** Reports over an empty store. All `sources` together are one policy without errors. */
export function reportPlan(sources: readonly Source[], question: PlanQuestion, options: PlanReportOptions): PlanReport {
  const { limits } = options;
  const store = openStore(":memory:");
  try {
    createState(store, "plan", "plan");
    const effect = { kind: "policy", id: 1, source: joinSources(sources), filename: null } as const;
    store.transaction(() => applyEvent(store, { offset: 1, timeMs: 0, traceparent: null, effect }, limits));
    return reportOver(store, must(activationOf(store)).active, sources, question, options);
  } finally {
    store.close();
  }
}

/** Reports over the store at `path`, with its policy, its closures and its statistics. */
export function reportStoredPlan(path: string, question: PlanQuestion, options: PlanReportOptions): PlanReport {
  const store = openStore(path, { readonly: true });
  try {
    return store.transaction(() => {
      const active = activationOf(store)?.active;
      const [row] = store.statement("SELECT source, filename FROM policy ORDER BY id DESC LIMIT 1").values();
      if (!active || !row) throw new AppError("not_found", "no policy is active there");
      const source = { name: String(row[1] ?? "policy.polar"), text: String(row[0]) };
      return reportOver(store, active, [source], question, options);
    });
  } finally {
    store.close();
  }
}

function reportOver(
  store: Connection,
  active: ActivePolicy,
  sources: readonly Source[],
  question: PlanQuestion,
  { limits, withPasses }: PlanReportOptions,
): PlanReport {
  const statistics = new TableStatistics(store);
  const planner = new Planner(store, readFactTypes(store, active, statistics), limits, "statement", statistics);
  const closures = closuresOf(active, limits);
  const tables = new Map(closureTables(store).map((table) => [table.name, table]));
  const labels: ClosureLabels = new Map(closures.map(({ name }) => [name, tables.get(name)?.table ?? "closure"]));
  const shape = shapeOf(question);
  const plan = planner.planFor("question", shape);
  const body = planner.specialised(shape, plan.kind !== "evaluator");
  const names = question.args.map(argumentName);
  const rowsMax = plan.kind === "statement" ? costBoundOf(store, plan)({ statistics, listed: 1 }) : Infinity;
  const used = plan.kind === "statement" ? namesIn(plan.sql) : new Set<string>();
  return {
    question: `${question.predicate}(${names.join(", ")})`,
    answeredBy: answeredBy[plan.kind],
    refusals: plan.kind === "statement" ? refusalsOf(plan, active, sources) : [],
    unknown: unknownNames(question, active),
    rules: body
      ? {
          question: printQuestion(body, names, labels),
          nodes: printNodes(body, labels).map((node) => placed(node, sources)),
        }
      : null,
    closures: closures.flatMap((closure) => {
      const stored = tables.get(closure.name);
      if (!stored) return [];
      const { table, rows, isMaterialized: kept } = stored;
      return used.has(table) || !kept ? [{ table, step: printClosure(closure), rows, kept }] : [];
    }),
    rowsMax: Number.isFinite(rowsMax) ? Math.ceil(rowsMax) : null,
    ...statementOf(store, plan),
    ...(withPasses && {
      passes: tracePasses(active, planner, shape, new PassTrace(must(shape.calls[0]).predicate, names, labels)),
    }),
  };
}

/** Compiles the policy and the question once more, and prints the program after each pass. */
function tracePasses(
  active: ActivePolicy,
  planner: Planner,
  shape: Shape,
  trace: PassTrace<PassName>,
): readonly PassReport[] {
  compileProgram(active.policy, programLimits(acceptedPolicyLimits), trace);
  planner.tracePasses(shape, trace);
  return trace.outputs.map(({ pass, program }) => ({ pass, why: passes[pass], program }));
}

const answeredBy = {
  statement: "statement",
  evaluator: "steps",
  nothing: "nothing",
} as const;

/** One for each rule, reason and type. */
function refusalsOf({ open }: StatementPlan, active: ActivePolicy, sources: readonly Source[]): PlannedRefusal[] {
  const keyOf = ({ rule, reason, type }: OpenAnswer): string =>
    listKey([numberKey(rule?.span.start ?? -1), stringKey(reason), typeKey(type)]);
  return [...new Map(open.map((answer) => [keyOf(answer), answer])).values()].map(({ rule, reason, type }) => {
    const known = rule?.implicit === false ? rule : undefined;
    return {
      rule: known ? { text: ruleAt(known.span, active.sources).text, place: placeOf(known.span.start, sources) } : null,
      reason,
      type: type ?? null,
    };
  });
}

function placed({ node, recursive, rules }: PrintedNode, sources: readonly Source[]): PlacedNode {
  return { node, recursive, rules: rules.map(({ text, span }) => ({ text, place: placeOf(span.start, sources) })) };
}

/** The position of an offset in the joined sources. */
function placeOf(offset: number, sources: readonly Source[]): PlacedNode["rules"][number]["place"] {
  let start = 0;
  for (const { name, text } of sources) {
    if (offset < start + text.length) return { file: name, ...positionAt(lineStarts(text), offset - start) };
    start += text.length + 1;
  }
  return null;
}

function statementOf(store: Connection, plan: Plan) {
  if (plan.kind !== "statement")
    return { tables: [], indexes: [], constants: [], types: [], sql: null, parameters: [], queryPlan: [] };
  const { sql, parameters } = plan;
  const named = namesIn(sql);
  const numbers = new Set([...sql.matchAll(/\b\d{10,}\b/g)].map(([number]) => Number(number)));
  const queryPlan = explainQueryPlan(store, plan);
  return {
    tables: factTables(store).flatMap(({ table, predicate, arity }) =>
      named.has(table) ? [{ table, predicate: `${predicate}/${arity}` }] : [],
    ),
    indexes: [...new Set(queryPlan.flatMap((step) => /INDEX ((?:fact|closure)_\w+)/.exec(step)?.[1] ?? []))].sort(),
    constants: store
      .prepare("SELECT symbol.id, type.name, symbol.value FROM symbol JOIN type ON type.id = symbol.type ORDER BY 1")
      .values()
      .flatMap(([id, type, value]) =>
        numbers.has(Number(id)) ? [{ id: Number(id), value: constantText(String(type), String(value)) }] : [],
      ),
    types: store
      .prepare("SELECT id, name FROM type ORDER BY 1")
      .values()
      .flatMap(([id, type]) => {
        const { low, high } = symbolRange(Number(id));
        return numbers.has(low) || numbers.has(high) ? [{ low, high, type: String(type) }] : [];
      }),
    sql,
    parameters,
    queryPlan,
  };
}

function namesIn(sql: string): Set<string> {
  return new Set([...sql.matchAll(/\b(?:fact|closure)_\d+\b/g)].map(([name]) => name));
}

function explainQueryPlan(store: Connection, { sql, parameters }: StatementPlan): string[] {
  const rows = store.prepare(`EXPLAIN QUERY PLAN ${sql}`).values(...parameters.map(() => null));
  const depths = new Map<unknown, number>();
  return rows.map(([id, parent, , detail]) => {
    const depth = (depths.get(parent) ?? -1) + 1;
    depths.set(id, depth);
    return `${"  ".repeat(depth)}${String(detail)}`;
  });
}

function shapeOf({ predicate, args }: PlanQuestion): Shape {
  return {
    calls: [{ predicate: predicateKey(predicate, args.length), variables: args.map((_, index) => index) }],
    variables: args.map((arg): ShapeVariable => {
      if (arg.kind === "constant")
        return { type: arg.type, mode: "constant", constant: { type: arg.type, id: arg.id } };
      return { type: arg.type, mode: arg.kind === "given" ? "one" : "free", constant: undefined };
    }),
    context: [],
  };
}

function argumentName(arg: PlanArgument): string {
  if (arg.kind === "constant") return constantText(arg.type, arg.id);
  return `${arg.type}:${arg.kind === "given" ? "_" : "?"}`;
}

function constantText(type: string, id: string): string {
  if (type === "String") return stringLiteral(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${stringLiteral(id)}}`;
}
