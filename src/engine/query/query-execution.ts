/** The execution of one plan for one request: values become symbols, the plan runs, symbols become strings. */
import type { Limits } from "../../config/limits.ts";
import { NotEnumerable, type OpenAnswer } from "../../datalog/ir/flat.ts";
import type { OpenSelect } from "../../datalog/ir/select.ts";
import type { SpecialisedBody } from "../../datalog/ir/specialised.ts";
import { ruleAt } from "../../polar/rule-text.ts";
import type { SqlStatement, SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { recordRows, type Span, withSpan } from "../../telemetry/tracing.ts";
import { AppError } from "../../util/app-error.ts";
import { must, unreachable } from "../../util/assert.ts";
import { Evaluation, tooManyAnswers } from "../evaluator/evaluate.ts";
import { FactReader, type SymbolIds } from "../evaluator/fact-reader.ts";
import { findUncovered } from "../evaluator/open-answers.ts";
import { jsonParameter } from "../../store/connection/json-parameter.ts";
import { rowKey } from "../../policy/keys.ts";
import { RequestSymbols } from "../request/request-symbols.ts";
import type { TypeIds } from "../request/type-ids.ts";
import { OffloadRequired } from "./offload-required.ts";
import type { ParameterBinding, Plan, Planner, StatementPlan } from "./planner.ts";
import { sortRows, sortStrings } from "./string-order.ts";

/** The value, or the values, that the request gives for each variable. */
export type GivenValues = readonly (Value | readonly Value[] | undefined)[];

export type ExecutionLimits = Limits & {
  /** The maximum number of facts that the evaluator reads at a time. */
  readonly factsAtATimeMax: number | undefined;
  /** On the serving thread, a query that takes many steps throws `OffloadRequired`. */
  readonly onServingThread: boolean;
};

export class QueryExecution {
  readonly plan: Plan;
  readonly #database: Connection;
  readonly #planner: Planner;
  readonly #types: TypeIds;
  readonly #symbols: RequestSymbols;
  readonly #now: number;
  readonly #limits: ExecutionLimits;

  /** `now` is in seconds since 1970. */
  constructor(
    database: Connection,
    planner: Planner,
    plan: Plan,
    contextFacts: readonly Fact[],
    now: number,
    limits: ExecutionLimits,
  ) {
    this.#database = database;
    this.plan = plan;
    this.#planner = planner;
    this.#types = planner.types;
    this.#symbols = new RequestSymbols(database, planner.types, contextFacts);
    this.#now = now;
    this.#limits = limits;
  }

  /** Whether there is an answer; all variables are given. */
  holds(given: GivenValues): boolean {
    return this.plan.kind === "statement"
      ? withSpan("query", {}, QueryExecution.#holds, this, given)
      : this.#withoutStatement(this.plan, given, []).length > 0;
  }

  static #holds(span: Span, execution: QueryExecution, given: GivenValues): boolean {
    const isAllowed = must(execution.#execute(given, 1)[0])[0] === 1;
    if (span.isRecording()) span.setAttributes(decisionAttributes(isAllowed, "miss"));
    return isAllowed;
  }

  /** Whether the decision may differ in another second. */
  dependsOnTime(given: GivenValues): boolean {
    if (this.plan.kind !== "statement") return true;
    const { clock } = this.plan;
    if (typeof clock === "string") return clock === "always";
    return must(this.#read(clock, given, 1)[0])[0] === 1;
  }

  /** Whether rules compare facts with the clock. For the evaluator this is not known, so it may be. */
  get mayDependOnTime(): boolean {
    if (this.plan.kind === "statement") return this.plan.clock !== "never" || this.plan.body !== undefined;
    return this.plan.kind === "evaluator";
  }

  /** The sorted, distinct rows of the variables `asked`; `null` is a wildcard. SQLite would sort ten times slower. */
  rows(given: GivenValues, asked: readonly number[]): (string | null)[][] {
    return sortRows(this.#run(given, asked));
  }

  /** The sorted ids of the last variable, which is the only free one; `*` is a wildcard. */
  ids(given: GivenValues): string[] {
    return sortStrings(this.#run(given, [given.length]).map((row) => row[0] ?? "*"));
  }

  #run(given: GivenValues, asked: readonly number[]): (string | null)[][] {
    if (this.plan.kind !== "statement") return this.#withoutStatement(this.plan, given, asked);
    const { onServingThread, servingThreadAnswerValuesMax } = this.#limits;
    const limit = this.#rowsMaxFor(asked);
    const servingThreadRowsMax = Math.floor(servingThreadAnswerValuesMax / Math.max(1, asked.length));
    const rowsMax = onServingThread ? Math.min(servingThreadRowsMax, limit) : limit;
    const rows = withSpan("query", {}, (span) => {
      const found = this.#execute(given, rowsMax + 1);
      if (asked.length > 0) recordRows(span, found.length);
      return found;
    });
    if (asked.length === 0) return rows[0]?.[0] === 1 ? [[]] : [];
    if (rows.length > rowsMax) {
      if (rowsMax < limit) throw new OffloadRequired(`its answer has more than ${rowsMax} rows`);
      throw tooManyAnswers(limit);
    }
    return this.#listable(this.plan, rows, given, asked);
  }

  /** The rows that can be listed. Throws `query_not_enumerable` if an open answer is not included in one of them. */
  #listable(
    { open, body }: StatementPlan,
    rows: SqlValue[][],
    given: GivenValues,
    asked: readonly number[],
  ): (string | null)[][] {
    // The columns are strings of values, or NULL; the additional one has an index in `open`, or NULL.
    if (open.length === 0) return rows as (string | null)[][];
    const listed: (string | null)[][] = [];
    const answers: (OpenSelect & { readonly row: (string | null)[] })[] = [];
    for (const row of rows) {
      const mark = row.pop() ?? null;
      if (mark === null) listed.push(row as (string | null)[]);
      else answers.push({ ...must(open[Number(mark)]), row: row as (string | null)[] });
    }
    const certain = body ? answers.filter(({ isExact }) => isExact) : answers;
    const uncovered = findUncovered(listed, certain);
    if (uncovered) throw this.#notEnumerable(uncovered);
    if (!body || !findUncovered(listed, answers)) return listed;
    return this.#withoutStatement({ kind: "evaluator", body }, given, asked);
  }

  /** Runs a plan that is not a statement. */
  #withoutStatement(
    plan: Exclude<Plan, StatementPlan>,
    given: GivenValues,
    asked: readonly number[],
  ): (string | null)[][] {
    switch (plan.kind) {
      case "nothing":
        return [];
      case "evaluator":
        return withSpan("query", {}, (span) => {
          try {
            const rows = this.#evaluate(plan.body, given, asked);
            recordRows(span, rows.length);
            return rows;
          } catch (error) {
            if (error instanceof NotEnumerable) throw this.#notEnumerable(error.open);
            if (this.#limits.onServingThread && error instanceof AppError && error.code === "query_too_expensive")
              throw new OffloadRequired("it takes many steps");
            if (error instanceof RangeError)
              throw new AppError(
                "query_too_expensive",
                "the data nests deeper than the question can follow: ask for one value",
              );
            throw error;
          }
        });
      default:
        return unreachable(plan);
    }
  }

  #execute(given: GivenValues, limit: number): SqlValue[][] {
    return this.plan.kind === "statement" ? this.#read(this.plan, given, limit) : [];
  }

  #read(
    { bindings, prepared }: { readonly bindings: readonly ParameterBinding[]; readonly prepared: SqlStatement },
    given: GivenValues,
    limit: number,
  ): SqlValue[][] {
    let newSymbolsAt: number | undefined;
    const values: SqlValue[] = [];
    for (const binding of bindings) {
      if (binding.kind === "requestSymbols") newSymbolsAt = values.length;
      values.push(binding.kind === "requestSymbols" ? null : this.#bound(binding, given, limit));
    }
    // Comes after all other bindings, because they may add request-scoped symbols.
    if (newSymbolsAt !== undefined) values[newSymbolsAt] = this.#symbols.toJson();
    return prepared.values(...values);
  }

  #bound(binding: Exclude<ParameterBinding, { kind: "requestSymbols" }>, given: GivenValues, limit: number): SqlValue {
    switch (binding.kind) {
      case "value":
        return this.#symbols.symbolOf(must(given[binding.variable]) as Value);
      case "values":
        return jsonParameter(this.#symbolsOf(given[binding.variable]));
      case "context":
        return jsonParameter(this.#symbols.rows(binding.predicate));
      case "now":
        return this.#symbols.symbolOf({ type: "Integer", id: String(this.#now) });
      case "nowSeconds":
        return this.#now;
      case "limit":
        return limit;
      default:
        return unreachable(binding);
    }
  }

  #symbolsOf(given: GivenValues[number]): number[] {
    if (given === undefined) return [];
    return [given].flat().map((value) => this.#symbols.symbolOf(value as Value));
  }

  #evaluate(body: SpecialisedBody, given: GivenValues, asked: readonly number[]): (string | null)[][] {
    const { queryStepsMax, queryValuesMax, queryTimeMsMax, factsAtATimeMax, onServingThread } = this.#limits;
    const reader = new FactReader(this.#database, this.#types, this.#symbols, this.#now, factsAtATimeMax);
    const stepsMax = onServingThread ? this.#limits.servingThreadQueryStepsMax : queryStepsMax;
    const rowsMax = this.#rowsMaxFor(asked);
    const endMs = performance.now() + queryTimeMsMax;
    const limits = { stepsMax, rowsMax, valuesMax: queryValuesMax, endMs, isLast: !onServingThread };
    const rows = new Map<string, (string | null)[]>();
    for (const known of combinations(
      body.types.map((_, variable) => (given[variable] === undefined ? [undefined] : this.#symbolsOf(given[variable]))),
    )) {
      for (const row of Evaluation.run(reader, limits, body, known, asked)) {
        const ids = row.map((symbol) => (symbol === undefined ? null : must(this.#symbols.valueOf(symbol)).id));
        rows.set(rowKey(ids), ids);
      }
      if (rows.size > rowsMax) throw tooManyAnswers(rowsMax);
    }
    return [...rows.values()];
  }

  #notEnumerable({ rule, type = "the type that is asked for", reason }: OpenAnswer): AppError {
    const { text, file, line } =
      rule && !rule.implicit ? ruleAt(rule.span, this.#planner.sources) : { text: "", file: "", line: 0 };
    const name = text === "" ? "a rule" : `the rule \`${text}\` (${file}:${line})`;
    const problem = {
      restricted: `${name} restricts a value of \`${type}\` only by \`not\` or a comparison, and it holds for values that no fact names; ask for a concrete value, or bind it to a fact in the rule`,
      equal: `${name} holds for every value of \`${type}\` together with itself, and an answer can't say that two values are equal; ask for a concrete value of one of them`,
    };
    return new AppError("query_not_enumerable", `the answers can't be listed: ${problem[reason]}`);
  }

  /** With more variables, fewer rows fit into memory. */
  #rowsMaxFor(asked: readonly number[]): number {
    const { queryRowsMax, queryValuesMax } = this.#limits;
    return Math.min(queryRowsMax, Math.max(1, Math.floor(queryValuesMax / Math.max(1, asked.length))));
  }
}

function* combinations(
  choices: readonly (readonly (number | undefined)[])[],
  prefix: SymbolIds = [],
): Generator<SymbolIds> {
  const [first, ...rest] = choices;
  if (!first) yield prefix;
  else for (const value of first) yield* combinations(rest, [...prefix, value]);
}

/** The attributes of a tracing span that makes a decision. */
export function decisionAttributes(isAllowed: boolean, cache: "hit" | "miss"): Readonly<Record<string, string>> {
  return { "ostiary.decision": isAllowed ? "allow" : "deny", "ostiary.decision_cache": cache };
}
