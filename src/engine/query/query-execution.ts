/** One question on its way: values become ids, the plan runs, ids become texts. */
import type { Limits } from "../../config/limits.ts";
import { NotEnumerable } from "../../datalog/ir/flat.ts";
import type { SpecialisedBody } from "../../datalog/ir/specialised.ts";
import type { SqlStatement, SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { recordRows, type Span, withSpan } from "../../telemetry/tracing.ts";
import { AppError } from "../../util/app-error.ts";
import { must, unreachable } from "../../util/assert.ts";
import { sortRows, sortStrings } from "./string-order.ts";
import { jsonParameter } from "../request/json-parameter.ts";
import { rowKey } from "../request/keys.ts";
import { RequestSymbols } from "../request/request-symbols.ts";
import { Evaluation, tooManyAnswers } from "../evaluator/evaluate.ts";
import { FactReader, type SymbolIds } from "../evaluator/fact-reader.ts";
import { OffloadRequired } from "./offload-required.ts";
import type { ParameterBinding, Plan, StatementPlan } from "./plans.ts";
import type { TypeIds } from "../request/type-ids.ts";

/** By variable: the value, or the values, that the request gives. */
export type GivenValues = readonly (Value | readonly Value[] | undefined)[];

export type ExecutionLimits = Limits & {
  /** The most facts that the evaluator reads in one go. */
  readonly factsAtATimeMax: number | undefined;
  /** Whether others wait for the answer: then what takes many steps is `OffloadRequired`. */
  readonly onServingThread: boolean;
};

export class QueryExecution {
  readonly #database: Connection;
  readonly #types: TypeIds;
  readonly #plan: Plan;
  readonly #brought: RequestSymbols;
  readonly #now: number;
  readonly #limits: ExecutionLimits;

  /** `now` in seconds since 1970. */
  constructor(
    database: Connection,
    types: TypeIds,
    plan: Plan,
    contextFacts: readonly Fact[],
    now: number,
    limits: ExecutionLimits,
  ) {
    this.#database = database;
    this.#plan = plan;
    this.#types = types;
    this.#brought = new RequestSymbols(database, types, contextFacts);
    this.#now = now;
    this.#limits = limits;
  }

  /** Whether there is any answer, all variables being given. */
  holds(given: GivenValues): boolean {
    return this.#plan.kind === "statement"
      ? withSpan("query", {}, QueryExecution.#holds, this, given)
      : this.#stepByStep(this.#plan, given, []).length > 0;
  }

  static #holds(span: Span, answering: QueryExecution, given: GivenValues): boolean {
    const isAllowed = must(answering.#execute(given, 1)[0])[0] === 1;
    if (span.isRecording()) span.setAttributes(decisionAttributes(isAllowed, "miss"));
    return isAllowed;
  }

  /** Of a yes or no: whether the answer may be another in the next second. */
  dependsOnTime(given: GivenValues): boolean {
    if (this.#plan.kind !== "statement") return true;
    const { clock } = this.#plan;
    if (typeof clock === "string") return clock === "always";
    return must(this.#read(clock, given, 1)[0])[0] === 1;
  }

  /** Whether facts are compared with the clock; of what is answered step by step that is not known, so they may be. */
  get mayDependOnTime(): boolean {
    if (this.#plan.kind === "statement") return this.#plan.clock !== "never";
    return this.#plan.kind === "evaluator";
  }

  /** Distinct rows of the variables `asked`, sorted; `null` for a wildcard. To sort them here takes a tenth of what it takes SQLite. */
  rows(given: GivenValues, asked: readonly number[]): (string | null)[][] {
    return sortRows(this.#bounded(this.#found(given, asked), asked));
  }

  /** The texts of the one free variable, the last, sorted, `*` for a wildcard. */
  ids(given: GivenValues): string[] {
    const asked = [given.length];
    const rows = this.#bounded(this.#found(given, asked), asked);
    return sortStrings(rows.map((row) => row[0] ?? "*"));
  }

  #found(given: GivenValues, asked: readonly number[]): (string | null)[][] {
    if (this.#plan.kind !== "statement") return this.#stepByStep(this.#plan, given, asked);
    const { onServingThread: inPlace, servingThreadAnswerValuesMax } = this.#limits;
    const most = this.#rowsMax(asked);
    const inPlaceRowsMax = Math.floor(servingThreadAnswerValuesMax / Math.max(1, asked.length));
    const rowsMax = inPlace ? Math.min(inPlaceRowsMax, most) : most;
    const found = withSpan("query", {}, (span) => {
      const rows = this.#execute(given, rowsMax + 1);
      if (asked.length > 0) recordRows(span, rows.length);
      return rows;
    });
    if (asked.length === 0) return found[0]?.[0] === 1 ? [[]] : [];
    if (found.length > rowsMax && rowsMax < most) throw new OffloadRequired(`its answer has more than ${rowsMax} rows`);
    // Columns are texts of values, or NULL.
    return found as (string | null)[][];
  }

  /** Where no statement answers. */
  #stepByStep(plan: Exclude<Plan, StatementPlan>, given: GivenValues, asked: readonly number[]): (string | null)[][] {
    switch (plan.kind) {
      case "nothing":
        return [];
      case "not-enumerable":
        throw notEnumerable();
      case "evaluator":
        return withSpan("query", {}, (span) => {
          try {
            const rows = this.#evaluate(plan.body, given, asked);
            recordRows(span, rows.length);
            return rows;
          } catch (error) {
            if (error instanceof NotEnumerable) throw notEnumerable();
            if (this.#limits.onServingThread && error instanceof AppError && error.code === "query_too_expensive")
              throw new OffloadRequired("it takes many steps");
            if (error instanceof RangeError)
              throw new AppError("query_too_expensive", "the data nests deeper than the question can follow");
            throw error;
          }
        });
      default:
        return unreachable(plan);
    }
  }

  #execute(given: GivenValues, limit: number): SqlValue[][] {
    return this.#plan.kind === "statement" ? this.#read(this.#plan, given, limit) : [];
  }

  #read(
    { bindings, prepared }: { readonly bindings: readonly ParameterBinding[]; readonly prepared: SqlStatement },
    given: GivenValues,
    limit: number,
  ): SqlValue[][] {
    let listing: number | undefined;
    const values: SqlValue[] = [];
    for (const binding of bindings) {
      if (binding.kind === "requestSymbols") listing = values.length;
      values.push(binding.kind === "requestSymbols" ? null : this.#bound(binding, given, limit));
    }
    // After all ids: they may bring values that must be listed.
    if (listing !== undefined) values[listing] = this.#brought.toJson();
    return prepared.values(...values);
  }

  #bound(binding: Exclude<ParameterBinding, { kind: "requestSymbols" }>, given: GivenValues, limit: number): SqlValue {
    switch (binding.kind) {
      case "value":
        return this.#brought.idOf(must(given[binding.variable]) as Value);
      case "values":
        return jsonParameter(this.#ids(given[binding.variable]));
      case "context":
        return jsonParameter(this.#brought.rows(binding.predicate));
      case "now":
        return this.#brought.idOf({ type: "Integer", id: String(this.#now) });
      case "nowSeconds":
        return this.#now;
      case "limit":
        return limit;
      default:
        return unreachable(binding);
    }
  }

  #ids(given: GivenValues[number]): number[] {
    if (given === undefined) return [];
    return [given].flat().map((value) => this.#brought.idOf(value as Value));
  }

  #evaluate(body: SpecialisedBody, given: GivenValues, asked: readonly number[]): (string | null)[][] {
    const {
      queryStepsMax,
      servingThreadQueryStepsMax,
      queryValuesMax,
      queryTimeMsMax,
      factsAtATimeMax,
      onServingThread: inPlace,
    } = this.#limits;
    const reader = new FactReader(this.#database, this.#types, this.#brought, this.#now, factsAtATimeMax);
    const stepsMax = inPlace ? servingThreadQueryStepsMax : queryStepsMax;
    const rowsMax = this.#rowsMax(asked);
    const limits = { stepsMax, rowsMax, valuesMax: queryValuesMax, endMs: performance.now() + queryTimeMsMax };
    const rows = new Map<string, (string | null)[]>();
    for (const known of combinations(
      body.types.map((_, variable) => (given[variable] === undefined ? [undefined] : this.#ids(given[variable]))),
    )) {
      for (const row of new Evaluation(reader, limits).run(body, known, asked)) {
        const texts = row.map((id) => (id === undefined ? null : must(this.#brought.valueOf(id)).id));
        rows.set(rowKey(texts), texts);
      }
      if (rows.size > rowsMax) throw tooManyAnswers(rowsMax);
    }
    return [...rows.values()];
  }

  #bounded<T>(rows: T[], asked: readonly number[]): T[] {
    const rowsMax = this.#rowsMax(asked);
    if (rows.length > rowsMax) throw tooManyAnswers(rowsMax);
    return rows;
  }

  /** The more variables there are, the fewer rows fit into memory. */
  #rowsMax(asked: readonly number[]): number {
    const { queryRowsMax, queryValuesMax } = this.#limits;
    return Math.min(queryRowsMax, Math.max(1, Math.floor(queryValuesMax / Math.max(1, asked.length))));
  }
}

function notEnumerable(): AppError {
  return new AppError(
    "query_not_enumerable",
    "the answers can't be listed: a rule restricts a value only by `not` or a comparison; ask for a concrete value, or bind it to a fact in the rule",
  );
}

function* combinations(
  choices: readonly (readonly (number | undefined)[])[],
  prefix: SymbolIds = [],
): Generator<SymbolIds> {
  const [first, ...rest] = choices;
  if (!first) yield prefix;
  else for (const value of first) yield* combinations(rest, [...prefix, value]);
}

/** Of a span that decides. */
export function decisionAttributes(isAllowed: boolean, cache: "hit" | "miss"): Readonly<Record<string, string>> {
  return { "ostiary.decision": isAllowed ? "allow" : "deny", "ostiary.decision_cache": cache };
}
