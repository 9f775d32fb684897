/**
 * Goal shapes and their plans. A shape is what does not change from one request to the next: the calls, which arguments are given, their
 * types, the constants of the policy among them, and the predicates and types of context facts. Each shape is planned once a policy: one
 * prepared statement, or the tabled evaluator where no single statement fits.
 */
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Limits } from "../../config/limits.ts";
import { type Closure, closurePredicates } from "../../datalog/ir/closure.ts";
import type { FactType } from "../../datalog/analysis/fact-types.ts";
import { NotEnumerable, NotPlannable, type FlatTerm } from "../../datalog/ir/flat.ts";
import { type ProgramTerm, splitKey } from "../../datalog/ir/program.ts";
import type { Signatures } from "../../datalog/ir/signature.ts";
import type { SpecialisedBody } from "../../datalog/ir/specialised.ts";
import { signaturesFor } from "../../datalog/analysis/infer-signatures.ts";
import { type PassName, planStatement, specialise } from "../../datalog/pipeline.ts";
import type { PassTrace } from "../../datalog/print/pass-trace.ts";
import { TooManyNodes } from "../../datalog/specialise/specialise.ts";
import type { SqlCatalogue } from "../../datalog/ir/select.ts";
import { TooLarge } from "../../datalog/analysis/too-large.ts";
import type { PlannedStatement, StatementGoal } from "../../datalog/sql/statement.ts";
import type { SqlStatement } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { closureTables } from "../../store/facts/closure-tables.ts";
import { relationId, tableOf } from "../../store/facts/fact-tables.ts";
import { findSymbol } from "../../store/facts/symbols.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { OffloadRequired } from "./offload-required.ts";
import { AllowShapes, type Shape, type ShapeVariable } from "./shapes.ts";
import { indexOrders, type Orders } from "../materialized/indexes.ts";
import { factTypeKey, sequenceKey } from "../request/keys.ts";
import { TypeIds } from "../request/type-ids.ts";

export type Plan =
  | { readonly kind: "nothing" }
  /** Answering would take a list that no stored fact can give. */
  | { readonly kind: "not-enumerable" }
  | {
      readonly kind: "statement";
      readonly sql: string;
      readonly prepared: SqlStatement;
      readonly parameters: readonly string[];
      /** What the parameters stand for. */
      readonly bindings: readonly ParameterBinding[];
      readonly loops: PlannedStatement["loops"];
      readonly expressions: PlannedStatement["expressions"];
      /** The relations whose facts decide. */
      readonly reads: ReadonlySet<number>;
      /** As in `Statement`. */
      readonly clock:
        "never" | "always" | { readonly prepared: SqlStatement; readonly bindings: readonly ParameterBinding[] };
    }
  | { readonly kind: "evaluator"; readonly body: SpecialisedBody };

export type StatementPlan = Extract<Plan, { kind: "statement" }>;

/** Which way questions are answered: by one statement where it fits, or always by the tabled evaluator. */
export type Strategy = "statement" | "evaluator";

export class Planner {
  readonly types: TypeIds;
  readonly allowShapes = new AllowShapes();
  readonly #database: Connection;
  readonly #active: ActivePolicy;
  readonly #limits: Limits;
  readonly #strategy: Strategy;
  readonly #degrees: TableStatistics;
  readonly #plans: LRUCache<string, Plan>;
  readonly #typingsMax: number;
  readonly #isInPlace: boolean;
  /** Keys of shapes that take too long to plan where others wait. */
  readonly #tooCostly: LRUCache<string, true>;
  readonly #signatures: LRUCache<string, Signatures>;
  readonly #strings: ReadonlySet<string>;
  readonly #orders: Orders;
  /** By name, the tables of the closures that are kept. */
  readonly #closures: ReadonlyMap<string, string>;

  /** `degrees` as they are now. With `onServingThread` others wait for the plans: then a shape that takes long to plan is `OffloadRequired`. */
  constructor(
    database: Connection,
    active: ActivePolicy,
    limits: Limits,
    strategy: Strategy,
    degrees: TableStatistics,
    inPlace = false,
  ) {
    const { planCacheEntriesMax, policyTypingsMax, servingThreadPlanTypingsMax } = limits;
    // By size, not by number: for `max` entries the cache would reserve memory in advance.
    const bound = { maxSize: planCacheEntriesMax, sizeCalculation: () => 1 };
    this.#plans = new LRUCache({ ...bound, dispose: finalizePlan });
    this.#tooCostly = new LRUCache(bound);
    this.#signatures = new LRUCache(bound);
    this.#isInPlace = inPlace;
    this.#typingsMax = inPlace ? Math.min(policyTypingsMax, servingThreadPlanTypingsMax) : policyTypingsMax;
    this.#degrees = degrees;
    this.types = new TypeIds(database);
    this.#database = database;
    this.#active = active;
    this.#limits = limits;
    this.#strategy = strategy;
    this.#closures = new Map(
      closureTables(database).flatMap(({ name, table, isMaterialized: kept }) => (kept ? [[name, table]] : [])),
    );
    this.#orders = indexOrders(active.program);
    this.#strings = new Set(active.constants.flatMap((constant) => (constant.type === "String" ? [constant.id] : [])));
  }

  /** True of a string that the policy mentions, for which shapes are worth specialising. */
  isConstant(text: string): boolean {
    return this.#strings.has(text);
  }

  /** Those that the block of a type declares. */
  permissions(type: string): readonly string[] {
    return this.#active.policy.types.get(type)?.permissions ?? [];
  }

  hasPlan(key: string): boolean {
    return this.#plans.has(short(key));
  }

  /** The plan of a shape, made now where it is new. `longKey` must tell shapes apart. Throws `OffloadRequired`. */
  planFor(longKey: string, shape: Shape): Plan {
    const key = short(longKey);
    const known = this.#plans.get(key);
    metrics.planCache.inc(known ? hit : miss);
    if (known) return known;
    const hasManyCalls = shape.calls.length > this.#limits.servingThreadQueryCallsMax;
    if (this.#isInPlace && (hasManyCalls || this.#tooCostly.has(key)))
      throw new OffloadRequired("it takes long to plan");
    const plan = this.#make(key, shape);
    this.#plans.set(key, plan);
    return plan;
  }

  /** True where the store has become another since these were made: what then was the best order may not be now. */
  isOutdated(degrees: TableStatistics): boolean {
    return degrees.totalRows > 8 * Math.max(1000, this.#degrees.totalRows);
  }

  close(): void {
    this.#plans.clear();
  }

  /**
   * The rules behind a question, `undefined` where nothing can answer it. Closures are for statements alone: the evaluator walks, so each can be
   * held against the other.
   */
  specialised(shape: Shape, withClosures: boolean, trace?: PassTrace<PassName>): SpecialisedBody | undefined {
    const goal = {
      calls: shape.calls.map(({ predicate, variables }) => ({
        predicate,
        args: variables.map((index) => termOf(must(shape.variables[index]), index)),
      })),
      types: shape.variables.map((variable) => variable.type),
    };
    const options = {
      program: this.#active.program,
      facts: this.#active.factTypes,
      context: shape.context,
      signatures: this.#signaturesWith(shape.context),
      ...(withClosures && { closures: ({ name }: Closure) => this.#closures.has(name) }),
      nodesMax: this.#limits.planNodesMax,
      typingsMax: this.#typingsMax,
    };
    return specialise(goal, options, trace);
  }

  #make(key: string, shape: Shape): Plan {
    try {
      const statement = this.#strategy === "statement" ? this.#statement(shape) : undefined;
      if (statement) return statement;
      const body = this.specialised(shape, false);
      return body ? { kind: "evaluator", body } : { kind: "nothing" };
    } catch (error) {
      if (!(error instanceof TooManyNodes) && !(error instanceof TooLarge)) throw error;
      if (this.#isInPlace) {
        this.#tooCostly.set(key, true);
        throw new OffloadRequired("it takes long to plan");
      }
      throw new AppError("query_too_expensive", "the policy is too large for this question");
    }
  }

  /** `undefined` where no statement fits. */
  #statement(shape: Shape): Plan | undefined {
    const body = this.specialised(shape, true);
    if (!body) return { kind: "nothing" };
    try {
      const reads = new Set<number>();
      const statement = this.#plan(statementGoal(shape, body), reads);
      const { clock } = statement;
      return {
        kind: "statement",
        ...statement,
        bindings: statement.parameters.map(parameterBinding),
        prepared: this.#prepare(statement.sql),
        reads,
        clock:
          typeof clock === "string"
            ? clock
            : { bindings: clock.parameters.map(parameterBinding), prepared: this.#prepare(clock.sql) },
      };
    } catch (error) {
      if (error instanceof NotEnumerable) return { kind: "not-enumerable" };
      if (error instanceof NotPlannable) return undefined;
      throw error;
    }
  }

  #plan(goal: StatementGoal, reads: Set<number>, trace?: PassTrace<PassName>): PlannedStatement {
    const limits = { clausesMax: this.#limits.planClausesMax, stepsMax: this.#limits.planStepsMax };
    return planStatement(goal, this.#names(reads), limits, trace);
  }

  /** Compiles the shape once more, for the trace. */
  tracePasses(shape: Shape, trace: PassTrace<PassName>): void {
    const body = this.specialised(shape, true, trace);
    if (!body) return;
    try {
      this.#plan(statementGoal(shape, body), new Set(), trace);
    } catch (error) {
      if (!(error instanceof NotEnumerable) && !(error instanceof NotPlannable)) throw error;
    }
  }

  /** SQLite has limits of its own (depth, size of a statement); what passes them is for the evaluator. */
  #prepare(sql: string): SqlStatement {
    try {
      return this.#database.prepare(sql);
    } catch (error) {
      throw new NotPlannable("SQLite refuses the statement", { cause: error });
    }
  }

  #signaturesWith(context: readonly FactType[]): Signatures {
    if (context.length === 0) return this.#active.signatures;
    const key = sequenceKey(context, factTypeKey);
    let known = this.#signatures.get(key);
    if (!known) {
      const { program, factTypes } = this.#active;
      known = signaturesFor(program, factTypes, context, this.#limits.policyTypingsMax);
      this.#signatures.set(key, known);
    }
    return known;
  }

  /** Adds to `reads` the relations that a statement comes to name. */
  #names(reads: Set<number>): SqlCatalogue {
    const database = this.#database;
    const relation = (predicate: string): number | undefined => {
      const id = relationId(database, ...splitKey(predicate));
      if (id !== undefined) reads.add(id);
      return id;
    };
    return {
      hasIndex: (predicate, positions, next) =>
        (this.#orders.get(predicate) ?? []).some(
          (order) =>
            order.every((position, place) => positions.includes(position) === place < positions.length) &&
            (next === undefined || order[positions.length] === next),
        ),
      rowsMax: (table, columns, within) => this.#degrees.most(table, columns, within),
      factTable: (predicate) => {
        const closure = this.#closures.get(predicate);
        if (closure !== undefined) closurePredicates(predicate).forEach(relation);
        const id = closure === undefined ? relation(predicate) : undefined;
        return closure ?? (id === undefined ? undefined : tableOf(id));
      },
      idOf: (value) => findSymbol(database, value) ?? -1,
      idRange: (type) => this.types.range(type),
    };
  }
}

function statementGoal(shape: Shape, body: SpecialisedBody): StatementGoal {
  const terms = shape.variables.map((variable, index): FlatTerm => {
    if (variable.constant) return { kind: "const", value: variable.constant };
    if (variable.mode === "one") return { kind: "param", name: `value:${index}`, type: variable.type };
    return { kind: "var", id: index, type: variable.type };
  });
  const isAsked = (index: number): boolean => ["free", "several"].includes(must(shape.variables[index]).mode);
  return {
    body,
    terms,
    head: terms.filter((_, index) => isAsked(index)),
    ids: terms.flatMap((term, index) =>
      shape.variables[index]?.mode === "several"
        ? [{ kind: "ids" as const, param: `values:${index}`, args: [term] }]
        : [],
    ),
    firstVariable: terms.length,
  };
}

function finalizePlan(plan: Plan): void {
  if (plan.kind !== "statement") return;
  plan.prepared.finalize();
  if (typeof plan.clock !== "string") plan.clock.prepared.finalize();
}

/** Shapes come from requests and may be megabytes long; what is kept of them must not be. */
function short(key: string): string {
  return key.length <= 1024 ? key : createHash("sha256").update(key).digest("base64");
}

const hit = { result: "hit" } as const;
const miss = { result: "miss" } as const;

function termOf(variable: ShapeVariable, index: number): ProgramTerm {
  return variable.constant ? { kind: "const", value: variable.constant } : { kind: "var", index };
}

export type ParameterBinding =
  /** The id of the value, or a list of those of the values, that the question gives for a variable. */
  | { readonly kind: "value" | "values"; readonly variable: number }
  /** The context facts of a predicate key. */
  | { readonly kind: "context"; readonly predicate: string }
  /** The clock, as the id of an Integer or as seconds; the most rows. */
  | { readonly kind: "now" | "nowSeconds" | "limit" }
  /** The values that the store does not have. */
  | { readonly kind: "requestSymbols" };

export function parameterBinding(name: string): ParameterBinding {
  const colon = name.indexOf(":");
  const [kind, rest] = colon < 0 ? [name, ""] : [name.slice(0, colon), name.slice(colon + 1)];
  switch (kind) {
    case "value":
    case "values":
      return { kind, variable: Number(rest) };
    case "context":
      return { kind, predicate: rest };
    case "now":
    case "nowSeconds":
    case "limit":
    case "requestSymbols":
      return { kind };
    default:
      throw new Error(`broken assumption: unknown parameter ${name}`);
  }
}
