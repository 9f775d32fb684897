/** The planner: it turns a query shape into one prepared SQL statement, or into rules for the evaluator. */
import { LRUCache } from "lru-cache";
import { createHash } from "node:crypto";
import type { Limits } from "../../config/limits.ts";
import type { FactType } from "../../datalog/analysis/fact-types.ts";
import { TooLarge } from "../../datalog/analysis/too-large.ts";
import { type Closure, closurePredicates } from "../../datalog/ir/closure.ts";
import { type FlatTerm, NotPlannable } from "../../datalog/ir/flat.ts";
import { constantKey, listKey } from "../../datalog/ir/key.ts";
import {
  type Constant,
  type DatalogProgram,
  predicateKey,
  type ProgramTerm,
  splitKey,
} from "../../datalog/ir/program.ts";
import type { SqlCatalogue } from "../../datalog/ir/select.ts";
import type { Signature, Signatures } from "../../datalog/ir/signature.ts";
import type { SpecialisedBody } from "../../datalog/ir/specialised.ts";
import { contextSignatures, type PassName, planStatement, specialise } from "../../datalog/pipeline.ts";
import type { PassTrace } from "../../datalog/print/pass-trace.ts";
import { TooManyNodes } from "../../datalog/specialise/specialise.ts";
import type { PlannedStatement, StatementGoal } from "../../datalog/sql/statement.ts";
import { LocalShapes } from "../../local/shapes.ts";
import type { Source } from "../../polar/source.ts";
import type { SqlStatement } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { closureTables } from "../../store/facts/closure-tables.ts";
import { relationId, tableOf } from "../../store/facts/fact-tables.ts";
import type { FactPattern } from "../../store/facts/fact.ts";
import { findSymbol } from "../../store/facts/symbols.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { expectedQuestionsMax, parsedBindingsMax } from "../../util/tuning.ts";
import type { Orders } from "../../datalog/analysis/index-orders.ts";
import { answersUnderDraft } from "../../policy/activation.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import type { ReadFactTypes } from "../../policy/head-facts.ts";
import { factTypeKey } from "../../policy/keys.ts";
import { TypeIds } from "../request/type-ids.ts";
import { OffloadRequired } from "./offload-required.ts";
import { AllowShapes, type KeyedShape, type Shape } from "./shapes.ts";

export type Plan =
  | { readonly kind: "nothing" }
  | {
      readonly kind: "statement";
      readonly sql: string;
      readonly prepared: SqlStatement;
      readonly parameters: readonly string[];
      /** As in `PlannedStatement`. */
      readonly open: PlannedStatement["open"];
      /** The rules for the evaluator, if only it can decide whether some answers are open. Without them, these are. */
      readonly body: SpecialisedBody | undefined;
      /** The bindings of the parameters. */
      readonly bindings: readonly ParameterBinding[];
      readonly loops: PlannedStatement["loops"];
      readonly expressions: PlannedStatement["expressions"];
      /** The ids of the relations on whose facts the answer depends. */
      readonly dependencies: ReadonlySet<number>;
      /** As in `PlannedStatement`. */
      readonly clock:
        "never" | "always" | { readonly prepared: SqlStatement; readonly bindings: readonly ParameterBinding[] };
    }
  | { readonly kind: "evaluator"; readonly body: SpecialisedBody };

/** The value that a parameter of a statement gets at each execution. */
export type ParameterBinding =
  /** The symbol of the value that the question gives for a variable, or a list of the symbols of its values. */
  | { readonly kind: "value" | "values"; readonly variable: number }
  /** The context facts of a predicate key. */
  | { readonly kind: "context"; readonly predicate: string }
  /** The time, as the symbol of an Integer or as seconds; the maximum number of rows. */
  | { readonly kind: "now" | "nowSeconds" | "limit" }
  /** The request-scoped symbols with their strings. */
  | { readonly kind: "requestSymbols" };

export type StatementPlan = Extract<Plan, { kind: "statement" }>;

/** How queries are answered: by one statement if it fits, or always by the tabled evaluator. */
export type Strategy = "statement" | "evaluator";

interface PlannerOptions {
  readonly onServingThread?: boolean;
  /** Shapes that are expected, because they were asked for before. */
  readonly expected?: readonly KeyedShape[];
}

interface PlannedShape {
  readonly plan: Plan;
  /** Undefined if it is long: shapes come from requests, and may have megabytes. */
  readonly shape: KeyedShape | undefined;
  /** Whether a question had it. */
  isAsked: boolean;
}

export class Planner {
  readonly types: TypeIds;
  readonly allowShapes = new AllowShapes();
  /** The rules of local authorization, compiled for questions. */
  readonly localShapes: LocalShapes;
  readonly #database: Connection;
  readonly #active: ActivePolicy;
  readonly #facts: ReadFactTypes;
  readonly #limits: Limits;
  readonly #strategy: Strategy;
  readonly #statistics: TableStatistics;
  readonly #plans: LRUCache<string, PlannedShape>;
  #expected: readonly KeyedShape[];
  readonly #typingsMax: number;
  readonly #onServingThread: boolean;
  /** The keys of shapes that only worker processes plan. */
  readonly #tooLongToPlan: LRUCache<string, true>;
  readonly #signatures: LRUCache<string, Signatures>;
  readonly #strings: ReadonlySet<string>;
  readonly #constants: ReadonlySet<string>;
  readonly #orders: Orders;
  /** The tables of the materialized closures, by closure name. */
  readonly #closures: ReadonlyMap<string, string>;

  constructor(
    database: Connection,
    facts: ReadFactTypes,
    limits: Limits,
    strategy: Strategy,
    statistics: TableStatistics,
    { onServingThread = false, expected = [] }: PlannerOptions = {},
  ) {
    const { planCacheEntriesMax, policyTypingsMax, servingThreadPlanTypingsMax } = limits;
    // `maxSize` instead of `max`: the cache reserves memory for `max` entries in advance.
    const bound = { maxSize: planCacheEntriesMax, sizeCalculation: () => 1 };
    this.#plans = new LRUCache({ ...bound, dispose: ({ plan }) => finalizePlan(plan) });
    this.#tooLongToPlan = new LRUCache(bound);
    this.#signatures = new LRUCache(bound);
    this.#onServingThread = onServingThread;
    this.#typingsMax = onServingThread ? Math.min(policyTypingsMax, servingThreadPlanTypingsMax) : policyTypingsMax;
    this.#statistics = statistics;
    this.types = new TypeIds(database);
    this.#database = database;
    const { active } = facts;
    this.#active = active;
    this.#facts = facts;
    this.#limits = limits;
    this.#strategy = strategy;
    this.#closures = new Map(
      closureTables(database).flatMap(({ name, table, isMaterialized }) => (isMaterialized ? [[name, table]] : [])),
    );
    this.#orders = active.orders;
    this.localShapes = new LocalShapes(Math.ceil(planCacheEntriesMax / parsedBindingsMax));
    this.#constants = new Set(active.constants.map(constantKey));
    this.#expected = expected.filter(({ shape }) => this.#knows(shape));
    this.#strings = new Set(active.constants.flatMap((constant) => (constant.type === "String" ? [constant.id] : [])));
  }

  /** Whether the policy mentions the string: then a specialised plan is worth its cost. */
  isConstant(text: string): boolean {
    return this.#strings.has(text);
  }

  /** Whether the policy names the value. */
  names(value: Constant): boolean {
    return this.#constants.has(constantKey(value));
  }

  /** The permissions that the block of a type declares. */
  permissions(type: string): readonly string[] {
    return this.#active.policy.types.get(type)?.permissions ?? [];
  }

  /**
   * The argument types with which a predicate can hold, also with context facts of these types; at least those that
   * the pattern allows.
   */
  signaturesOf({ predicate, args }: FactPattern, context: readonly FactType[]): readonly Signature[] {
    const list = this.signaturesWith(context).get(predicateKey(predicate, args.length));
    const types = () => args.map(({ type }) => ({ types: type === null ? undefined : new Set([type]), id: undefined }));
    return list?.candidates(types) ?? [];
  }

  /** The policy that answers. */
  get active(): ActivePolicy {
    return this.#active;
  }

  /** The rules of the policy. */
  get program(): DatalogProgram {
    return this.#active.program;
  }

  /** The fact types that answers read. */
  get factTypes(): readonly FactType[] {
    return this.#facts.factTypes;
  }

  /** All types that the policy names. */
  get policyTypes(): ReadonlySet<string> {
    return this.#active.types;
  }

  /** The source of the active policy, for the texts of rules. */
  get sources(): readonly Source[] {
    return this.#active.sources;
  }

  hasPlan(key: string): boolean {
    return this.#plans.has(shortened(key));
  }

  /** The plan of a shape; a new shape is planned now. `longKey` identifies the shape. Throws `OffloadRequired`. */
  planFor(longKey: string, shape: Shape): Plan {
    const key = shortened(longKey);
    const cached = this.#plans.get(key);
    metrics.planCache.inc(cached ? hit : miss);
    if (cached) {
      cached.isAsked = true;
      return cached.plan;
    }
    const hasManyCalls = shape.calls.length > this.#limits.servingThreadQueryCallsMax;
    if (this.#onServingThread && (hasManyCalls || this.#tooLongToPlan.has(key)))
      throw new OffloadRequired("it takes long to plan");
    return this.#add({ key: longKey, shape }, true);
  }

  /** Plans a shape that nobody has asked for yet. Throws `OffloadRequired` if only worker processes plan it. */
  planAhead(shape: KeyedShape): Plan {
    return this.#add(shape, false);
  }

  /** Whether a shape has a plan, or has none because that would take long here. */
  isSettled({ key: longKey }: KeyedShape): boolean {
    const key = shortened(longKey);
    return this.#plans.has(key) || this.#tooLongToPlan.has(key);
  }

  /** Adds shapes that were asked for elsewhere. */
  expect(shapes: readonly KeyedShape[]): void {
    const added = new Set(shapes.map(({ key }) => key));
    const others = this.#expected.filter(({ key }) => !added.has(key));
    this.#expected = [...shapes.filter(({ shape }) => this.#knows(shape)), ...others].slice(0, expectedQuestionsMax);
  }

  /** The shapes that were asked for, the last ones first, and then those that earlier planners expected. */
  get expected(): readonly KeyedShape[] {
    const byKey = new Map<string, KeyedShape>();
    for (const { isAsked, shape } of this.#plans.values())
      if (isAsked && shape !== undefined && this.#knows(shape.shape)) byKey.set(shape.key, shape);
    for (const shape of this.#expected) if (!byKey.has(shape.key)) byKey.set(shape.key, shape);
    return [...byKey.values()].slice(0, expectedQuestionsMax);
  }

  #add(shape: KeyedShape, isAsked: boolean): Plan {
    const key = shortened(shape.key);
    const plan = this.#plan(key, shape.shape);
    this.#plans.set(key, { plan, shape: key === shape.key ? shape : undefined, isAsked });
    return plan;
  }

  /**
   * Whether the policy has the constants of the shape, and the store its types. Clients can invent others, which are not
   * expected again.
   */
  #knows({ variables, context }: Shape): boolean {
    const types = [variables.map(({ type }) => type), ...context.map((fact) => fact.types)].flat();
    return (
      variables.every(({ constant }) => constant === undefined || this.names(constant)) &&
      types.every((type) => type === undefined || this.types.stored(type) !== undefined)
    );
  }

  /**
   * Whether the store has head facts of other types than the plans read, or has grown so much that the join orders may no
   * longer be the best ones.
   */
  isOutdated(facts: ReadFactTypes, statistics: TableStatistics): boolean {
    if (facts.key !== this.#facts.key) return true;
    return statistics.totalRows > 8 * Math.max(1000, this.#statistics.totalRows);
  }

  close(): void {
    this.#plans.clear();
  }

  /** The specialised rules of a shape, if any. The evaluator uses no closures, so that tests can compare the two. */
  specialised(shape: Shape, withClosures: boolean, trace?: PassTrace<PassName>): SpecialisedBody | undefined {
    const goal = {
      calls: shape.calls.map(({ predicate, variables }) => ({
        predicate,
        args: variables.map((index): ProgramTerm => {
          const { constant } = must(shape.variables[index]);
          return constant ? { kind: "const", value: constant } : { kind: "var", index };
        }),
      })),
      types: shape.variables.map((variable) => variable.type),
    };
    const options = {
      program: this.#active.program,
      facts: this.#facts.factTypes,
      context: shape.context,
      signatures: this.signaturesWith(shape.context),
      ...(withClosures && { closures: ({ name }: Closure) => this.#closures.has(name) }),
      nodesMax: this.#limits.planNodesMax,
      typingsMax: this.#typingsMax,
    };
    return specialise(goal, options, trace);
  }

  #plan(key: string, shape: Shape): Plan {
    try {
      const statement = this.#strategy === "statement" ? this.#statement(shape) : undefined;
      if (statement) return statement;
      const body = this.specialised(shape, false);
      return body ? { kind: "evaluator", body } : { kind: "nothing" };
    } catch (error) {
      if (!(error instanceof TooManyNodes) && !(error instanceof TooLarge)) throw error;
      if (this.#onServingThread) {
        this.#tooLongToPlan.set(key, true);
        throw new OffloadRequired("it takes long to plan");
      }
      throw new AppError(
        "query_too_expensive",
        "the policy is too large for this question: ask for one value, or with fewer calls",
      );
    }
  }

  /** `undefined` if no statement fits. */
  #statement(shape: Shape): Plan | undefined {
    const body = this.specialised(shape, true);
    if (!body) return { kind: "nothing" };
    try {
      const dependencies = new Set<number>();
      const statement = this.#planStatement(statementGoal(shape, body), dependencies);
      const { clock } = statement;
      return {
        kind: "statement",
        ...statement,
        body: this.#bodyFor(shape, statement),
        bindings: statement.parameters.map(parameterBinding),
        prepared: this.#prepare(statement.sql),
        dependencies,
        clock:
          typeof clock === "string"
            ? clock
            : { bindings: clock.parameters.map(parameterBinding), prepared: this.#prepare(clock.sql) },
      };
    } catch (error) {
      if (error instanceof NotPlannable) return undefined;
      throw error;
    }
  }

  /** The rules for the evaluator, if a statement with these open answers needs them and they are not too many. */
  #bodyFor(shape: Shape, { open }: PlannedStatement): SpecialisedBody | undefined {
    if (open.every(({ isExact }) => isExact)) return undefined;
    try {
      return this.specialised(shape, false);
    } catch (error) {
      if (error instanceof TooManyNodes || error instanceof TooLarge) return undefined;
      throw error;
    }
  }

  #planStatement(goal: StatementGoal, dependencies: Set<number>, trace?: PassTrace<PassName>): PlannedStatement {
    const limits = { clausesMax: this.#limits.planClausesMax, stepsMax: this.#limits.planStepsMax };
    return planStatement(goal, this.#catalogue(dependencies), limits, trace);
  }

  /** Compiles the shape again, for the trace. */
  tracePasses(shape: Shape, trace: PassTrace<PassName>): void {
    const body = this.specialised(shape, true, trace);
    if (!body) return;
    try {
      this.#planStatement(statementGoal(shape, body), new Set(), trace);
    } catch (error) {
      if (!(error instanceof NotPlannable)) throw error;
    }
  }

  /** SQLite has limits of its own (nesting depth, statement size). The evaluator answers what exceeds them. */
  #prepare(sql: string): SqlStatement {
    try {
      return this.#database.prepare(sql);
    } catch (error) {
      throw new NotPlannable("SQLite refuses the statement", { cause: error });
    }
  }

  /** What each predicate can hold with context facts of these types. */
  signaturesWith(context: readonly FactType[]): Signatures {
    if (context.length === 0) return this.#facts.signatures;
    const key = listKey(context.map(factTypeKey));
    const signatures =
      this.#signatures.get(key) ??
      contextSignatures(
        { program: this.#active.program, factTypes: this.#facts.factTypes },
        context,
        this.#limits.policyTypingsMax,
      );
    this.#signatures.set(key, signatures);
    return signatures;
  }

  /** Adds the relations that a statement names to `dependencies`. */
  #catalogue(dependencies: Set<number>): SqlCatalogue {
    const database = this.#database;
    const relation = (predicate: string): number | undefined => {
      const id = relationId(database, ...splitKey(predicate));
      if (id !== undefined) dependencies.add(id);
      return id;
    };
    const isDraft = answersUnderDraft(database);
    return {
      hasIndex: (predicate, positions, next) =>
        (this.#orders.get(predicate) ?? []).some(
          (order) =>
            order.every((position, place) => positions.includes(position) === place < positions.length) &&
            (next === undefined || order[positions.length] === next),
        ),
      rowsMax: (table, columns, within) => this.#statistics.maxRows(table, columns, within),
      factTable: (predicate) => {
        const closure = this.#closures.get(predicate);
        if (closure !== undefined) closurePredicates(predicate).forEach(relation);
        const id = closure === undefined ? relation(predicate) : undefined;
        return closure ?? (id === undefined ? undefined : tableOf(id));
      },
      idOf(value) {
        const id = findSymbol(database, value);
        // The store has all constants of its policy, but not those of another one, and specialisation also makes rules
        // for `true` and `false`.
        if (id === undefined && (value.type === "Boolean" || isDraft))
          throw new NotPlannable("a constant without a symbol");
        return id ?? -1;
      },
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

/** A cached key must be short, but shapes come from requests, and their keys may be megabytes long. */
function shortened(key: string): string {
  return key.length <= 1024 ? key : createHash("sha256").update(key).digest("base64");
}

const hit = { result: "hit" } as const;
const miss = { result: "miss" } as const;

/** The binding that belongs to a parameter name of `datalog/sql/statement.ts`. */
function parameterBinding(name: string): ParameterBinding {
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
