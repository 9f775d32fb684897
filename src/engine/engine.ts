/**
 * The decision engine over one copy of the data. Synchronous, on the serving thread; every answer is computed in one read transaction, so it
 * belongs to exactly one state and one policy, whatever the writer does meanwhile.
 */
import { eq } from "drizzle-orm";
import { defaultLimits, type Limits } from "../config/limits.ts";
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { predicateKey } from "../datalog/ir/program.ts";
import { policyMetadata, type ResourceMetadata } from "../polar/metadata.ts";
import type { Connection } from "../store/connection/connection.ts";
import type { SequenceLock } from "../store/connection/sequence-lock.ts";
import { findApiKey } from "../store/keys/api-keys.ts";
import { countClosures, type ClosureCounts } from "../store/facts/closure-tables.ts";
import type { Fact, FactPattern, Value } from "../store/facts/fact.ts";
import { eachMatch, factTables, hasFact, matchFacts } from "../store/facts/fact-tables.ts";
import { warmUpSymbolCache } from "../store/facts/symbol-cache.ts";
import * as schema from "../store/connection/schema.ts";
import { readRevision, type Revision } from "../store/log/revision.ts";
import { readState, type StoreState } from "../store/log/store-state.ts";
import { countFacts } from "../store/statistics/table-statistics.ts";
import { fileBytes, type FileBytes, StoreFiles } from "../store/directory/store-files.ts";
import { recordRows, type Span, withSpan } from "../telemetry/tracing.ts";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";
import { must } from "../util/assert.ts";
import { activate } from "./policy/active-policy.ts";
import { activationOf } from "./policy/activation.ts";
import { QueryExecution, type ExecutionLimits, decisionAttributes, type GivenValues } from "./query/query-execution.ts";
import type { ApiKey } from "./state/event.ts";
import { checkFact } from "./request/fact-check.ts";
import { Admission } from "./query/admission.ts";
import { OffloadRequired } from "./query/offload-required.ts";
import type { Plan, Planner, Strategy } from "./query/plans.ts";
import { type QueryKind, ReadView } from "./query/read-view.ts";
import type {
  ActionsQuestion,
  AuthorizeQuestion,
  Listing,
  ListingQuestion,
  ListQuestion,
  Query,
  QuestionKind,
  Questions,
  QueryRow,
  ResourcesQuestion,
} from "./request/questions.ts";
import { factTypesOf, free, given, keyed, type KeyedShape, type Shape, stringVariable } from "./query/shapes.ts";

export interface EngineOptions {
  readonly limits?: Limits;
  /** `evaluator` answers everything with the tabled evaluator, for tests that compare the two. */
  readonly strategy?: Strategy;
  /** Seconds since 1970. */
  readonly clock?: () => number;
  /** Calls back later: how a state of the store is let go of that nobody has read for a moment. */
  readonly after?: Clock["after"];
  /** Of the store, where all its changes are told: a decision that is remembered then costs no look into it. */
  readonly changes?: SequenceLock | undefined;
  /** Whoever asks has begun a transaction: several answers, of several engines on one connection, are then of one state. */
  readonly inTransaction?: boolean;
  /** Whether it answers where others wait: it throws `OffloadRequired` for what may take long. */
  readonly onServingThread?: boolean;
  /** The most facts that the evaluator reads in one go; past that, `TooManyFacts`. */
  readonly factsAtATimeMax?: number;
}

export interface StoredPolicy {
  readonly id: number;
  readonly filename: string | null;
  readonly source: string;
}

export class Engine {
  readonly #database: Connection;
  readonly #limits: ExecutionLimits;
  readonly #clock: () => number;
  readonly #present: ReadView;
  readonly #inPlace: Admission | undefined;
  readonly #files: StoreFiles;

  /** `database` is a connection of the engine's own, read-only. */
  constructor(database: Connection, options: EngineOptions = {}) {
    this.#database = database;
    this.#files = new StoreFiles(database.path);
    const limits = options.limits ?? defaultLimits;
    this.#limits = {
      ...limits,
      factsAtATimeMax: options.onServingThread ? limits.servingThreadQueryStepsMax : options.factsAtATimeMax,
      onServingThread: options.onServingThread ?? false,
    };
    if (this.#limits.onServingThread) this.#inPlace = new Admission(database, this.#limits);
    this.#clock = options.clock ?? (() => Math.floor(Date.now() / 1000));
    database.resizeSymbolCache(limits.symbolCacheEntriesMax);
    const { strategy = "statement", changes, after, inTransaction = false } = options;
    this.#present = new ReadView(database, {
      limits,
      strategy,
      changes,
      after,
      inTransaction,
      onServingThread: this.#limits.onServingThread,
    });
  }

  /** May the actor do the action on the resource? False without a policy, and for anything unknown. */
  authorize(question: AuthorizeQuestion): boolean {
    const now = this.#clock();
    return this.#remembered(question, now) ?? this.#decide(question, now);
  }

  /** The same for the question that came as `text` before, where the decision is remembered and still stands. */
  cachedDecision(text: string): boolean | undefined {
    return this.#remembered(text, this.#clock());
  }

  #decide(question: AuthorizeQuestion, now: number): boolean {
    const { actor, action, resource, contextFacts } = question;
    this.#check(contextFacts);
    const { decisions: memo } = this.#present;
    // As `#answer` does it, without a closure: this is asked all the time.
    const reading = this.#present.begin();
    try {
      const plans = this.#present.plans(reading);
      if (plans === undefined) return false;
      const known = memo.find(question, now);
      if (known !== undefined) return asRecalled(known);
      const shape = plans.allowShapes.of(
        {
          kind: "authorize",
          actorType: actor.type,
          action: plans.isConstant(action) ? action : undefined,
          resourceType: resource.type,
        },
        contextOf(contextFacts),
      );
      const plan = this.#plan(plans, shape, contextFacts.length);
      const answering = new QueryExecution(this.#database, plans.types, plan, contextFacts, now, this.#limits);
      const values: GivenValues = [actor, { type: "String", id: action }, resource];
      const allowed = answering.holds(values);
      const key = memo.keyOf(question);
      if (key !== undefined) memo.add(key, plan, allowed, answering.dependsOnTime(values) ? now : undefined);
      return allowed;
    } finally {
      this.#present.end("authorize", reading);
    }
  }

  /** Those of the resources on which the actor may do the action, in the order asked and as often. */
  authorizeResources({ resources, ...question }: ResourcesQuestion): Value[] {
    const { onServingThread: inPlace, servingThreadTimeMsMax, queryTimeMsMax } = this.#limits;
    const timeMsMax = inPlace ? servingThreadTimeMsMax : queryTimeMsMax;
    const endMs = performance.now() + timeMsMax;
    return resources.filter((resource) => {
      if (performance.now() > endMs) {
        if (inPlace) throw new OffloadRequired("many resources");
        throw new AppError(
          "query_too_expensive",
          `answering takes longer than ${timeMsMax} ms: ask for fewer resources`,
        );
      }
      return this.authorize({ ...question, resource });
    });
  }

  /** The ids of the resources, sorted; `*` among them where every resource of the type is meant. Throws `query_not_enumerable`. */
  list(question: ListQuestion): string[] {
    return this.#list(question, this.#clock()).ids;
  }

  /** The same, with what it is of: this copy's state, and the second `now` where the clock has a say in it. */
  listing({ now = this.#clock(), ...question }: ListingQuestion): Listing {
    return this.#present.read(() => {
      const revision = readRevision(this.#database);
      const { ids, isClocked } = this.#list(question, now);
      return { ...revision, second: isClocked ? now : null, ids };
    });
  }

  #list(question: ListQuestion, now: number): { ids: string[]; isClocked: boolean } {
    const { actor, action, resourceType, contextFacts } = question;
    return this.#answer("list", contextFacts, { ids: [], isClocked: false }, (plans, context) => {
      const constant = plans.isConstant(action) ? action : undefined;
      const shape = plans.allowShapes.of(
        { kind: "list", actorType: actor.type, action: constant, resourceType },
        context,
      );
      const answering = this.#answering(plans, shape, contextFacts, { now });
      const ids = answering.ids([actor, { type: "String", id: action }]);
      return { ids, isClocked: answering.mayDependOnTime };
    });
  }

  /** What the actor may do, sorted. Where everything is allowed, the permissions that the resource's block declares are named. */
  actions(question: ActionsQuestion): string[] {
    const { actor, resource, contextFacts } = question;
    return this.#answer("actions", contextFacts, [], (plans, context) => {
      const asked = { kind: "actions", actorType: actor.type, action: undefined, resourceType: resource.type } as const;
      const shape = plans.allowShapes.of(asked, context);
      const rows = this.#answering(plans, shape, contextFacts).rows([actor, undefined, resource], [1]);
      const named = rows.flatMap((row) => (row[0] === null ? plans.permissions(resource.type) : [must(row[0])]));
      return [...new Set(named)].sort();
    });
  }

  /** Distinct rows, sorted, each with all variables; `null` where every value of the variable's type would do. */
  query(query: Query): QueryRow[] {
    const names = [...query.variables.keys()];
    const variables = [...query.variables.values()];
    if (variables.some(({ ids }) => ids?.length === 0)) return [];
    return this.#answer("query", query.contextFacts, [], (plans, context) => {
      const shape: Shape = {
        calls: query.calls.map((call) => ({
          predicate: predicateKey(call.predicate, call.variables.length),
          variables: call.variables.map((name) => {
            const index = names.indexOf(name);
            if (index < 0)
              throw new AppError("invalid_request", `variable \`${name}\` has no constraint that says its type`);
            return index;
          }),
        })),
        variables: variables.map(({ type, ids }) => {
          const [only] = ids ?? [];
          if (ids === null) return free(type);
          if (ids.length > 1 || only === undefined) return { type, mode: "several", constant: undefined };
          return type === "String" && plans.isConstant(only) ? stringVariable(only) : given(type);
        }),
        context,
      };
      const listed = variables.reduce((most, { ids }) => Math.max(most, ids?.length ?? 0), 0);
      const answering = this.#answering(plans, keyed(shape), query.contextFacts, { listed });
      const values = variables.map(({ type, ids }) =>
        ids?.length === 1 ? { type, id: must(ids[0]) } : ids?.map((id) => ({ type, id })),
      );
      const asked = variables.flatMap(({ ids }, index) => (ids?.length === 1 ? [] : [index]));
      const columns = names.map((name, index) => ({
        name,
        position: asked.indexOf(index),
        id: variables[index]?.ids?.[0],
      }));
      return answering.rows(values, asked).map((row) => {
        // Without a prototype any name of a variable is one of its own.
        const named = Object.create(null) as Record<string, string | null>;
        for (const { name, position, id } of columns) named[name] = position < 0 ? must(id) : (row[position] ?? null);
        return named;
      });
    });
  }

  /** Stored facts that the pattern covers; fewer arguments than a fact has leave the rest open. Sorted by predicate arity only. */
  facts(pattern: FactPattern): Fact[] {
    const found = (): Fact[] => {
      const degrees = this.#present.degrees();
      return factsPatterns(this.#database, pattern).flatMap(({ table, pattern: whole }) => {
        const arity = whole.args.length;
        // Those with a first argument are found in one look, all others by looking through the table.
        const isLed = typeof whole.args[0]?.id === "string";
        const bound = degrees.most(table, isLed ? [1] : [], new Array(arity).fill(undefined));
        this.#inPlace?.admitRows(bound);
        this.#inPlace?.admitValues(bound * arity);
        return matchFacts(this.#database, whole, this.#limits.queryRowsMax);
      });
    };
    return this.#present.timed("facts", () =>
      withSpan("query", {}, (span) => {
        const facts = found();
        recordRows(span, facts.length);
        return facts;
      }),
    );
  }

  /** All of them, one by one, of one state. Nothing else must be asked of this engine meanwhile. */
  *eachFact(pattern: FactPattern): Generator<Fact> {
    const transaction = this.#database.begin();
    try {
      for (const { pattern: whole } of factsPatterns(this.#database, pattern)) yield* eachMatch(this.#database, whole);
    } finally {
      transaction.rollback();
    }
  }

  /** Whether this very fact is stored. */
  isStored(fact: Fact): boolean {
    return this.#present.timed("facts", () => hasFact(this.#database, fact));
  }

  /** The active policy, or an older one by its id; `null` where there is none. */
  policy(id?: number): StoredPolicy | null {
    return this.#present.read(() => {
      const { policy } = schema;
      const columns = { id: policy.id, filename: policy.filename, source: policy.source };
      const wanted = eq(policy.id, id ?? readState(this.#database).policyId);
      return this.#database.orm.select(columns).from(policy).where(wanted).get() ?? null;
    });
  }

  metadata(id?: number): Record<string, ResourceMetadata> | null {
    if (id === undefined) {
      const activation = this.#present.read(() => activationOf(this.#database));
      return activation ? policyMetadata(activation.active.policy) : null;
    }
    const policy = this.policy(id);
    return policy && policyMetadata(activate(policy.source, policy.filename).policy);
  }

  apiKey(id: string): ApiKey | null {
    return this.#present.read(() => findApiKey(this.#database, id) ?? null);
  }

  apiKeys(): ApiKey[] {
    return this.#present.read(() =>
      this.#database.orm.select().from(schema.apiKey).orderBy(schema.apiKey.timeMs, schema.apiKey.id).all(),
    );
  }

  /** Makes a policy that has just become active ready, so that no question has to wait for it. */
  warmUpPolicy(): void {
    this.#present.read(() => activationOf(this.#database));
  }

  /** Reads ids of values ahead, a few hundred at each step, so that questions need not look them up. To be gone on with between questions. */
  warmUpSymbols(): Generator<undefined, void> {
    return warmUpSymbolCache(this.#database);
  }

  /** The file of this copy, for who opens it again. Throws a StorageError where it is gone, or where others are there: they may hold anything. */
  get path(): string {
    this.#files.check();
    return this.#database.path;
  }

  /** Which state of which history the data are of. */
  revision(): Revision {
    return this.#present.read(() => readRevision(this.#database));
  }

  /** Where this copy stands. */
  state(): StoreState {
    return this.#present.read(() => readState(this.#database));
  }

  /** How much this copy holds. Nothing is counted for it. */
  size(): { readonly closures: ClosureCounts; readonly facts: number; readonly files: FileBytes } {
    const files = fileBytes(this.#database.path);
    return this.#present.read(() => ({
      closures: countClosures(this.#database),
      facts: countFacts(this.#database),
      files,
    }));
  }

  close(): void {
    this.#present.close();
    this.#database.close();
  }

  #remembered(question: AuthorizeQuestion | string, now: number): boolean | undefined {
    const known = this.#present.cachedDecision(question, now);
    return known === undefined ? undefined : asRecalled(known);
  }

  /** Runs `body` with the plans of the policy that is active in this very snapshot; gives `none` where there is no policy. */
  #answer<T>(
    kind: QueryKind,
    contextFacts: readonly Fact[],
    none: T,
    body: (plans: Planner, context: readonly FactType[]) => T,
  ): T {
    this.#check(contextFacts);
    return this.#present.timed(kind, (reading) => {
      const plans = this.#present.plans(reading);
      return plans === undefined ? none : body(plans, contextOf(contextFacts));
    });
  }

  #check(contextFacts: readonly Fact[]): void {
    for (const fact of contextFacts) checkFact(fact, this.#limits);
  }

  /** `listed` is the length of the longest list that the question brings. */
  #plan(plans: Planner, shape: KeyedShape, listed: number): Plan {
    const plan = withSpan("plan", {}, planOf, plans, shape);
    this.#inPlace?.admit(plan, this.#present.degrees(), listed);
    return plan;
  }

  #answering(
    plans: Planner,
    shape: KeyedShape,
    contextFacts: readonly Fact[],
    { listed = 0, now = this.#clock() }: { readonly listed?: number; readonly now?: number } = {},
  ): QueryExecution {
    const plan = this.#plan(plans, shape, Math.max(listed, contextFacts.length));
    return new QueryExecution(this.#database, plans.types, plan, contextFacts, now, this.#limits);
  }
}

/** For each table of the predicate the pattern with as many arguments as its facts have. */
function factsPatterns(database: Connection, pattern: FactPattern) {
  return factTables(database)
    .filter(({ predicate, arity }) => predicate === pattern.predicate && arity >= pattern.args.length)
    .map(({ table, arity }) => {
      const rest = Array.from({ length: arity - pattern.args.length }, () => ({ type: null, id: null }));
      return { table, pattern: { ...pattern, args: [...pattern.args, ...rest] } };
    });
}

function planOf(span: Span, plans: Planner, { key, shape }: KeyedShape): Plan {
  if (span.isRecording()) span.setAttribute("ostiary.plan_cache", plans.hasPlan(key) ? "hit" : "miss");
  return plans.planFor(key, shape);
}

function contextOf(contextFacts: readonly Fact[]): readonly FactType[] {
  return contextFacts.length === 0 ? noContext : factTypesOf(contextFacts);
}

function asRecalled(known: boolean): boolean {
  return withSpan("query", known ? recalledAllow : recalledDeny, () => known);
}

const recalledAllow = { attributes: decisionAttributes(true, "hit") };
const recalledDeny = { attributes: decisionAttributes(false, "hit") };

const noContext: readonly FactType[] = [];

/** Calls the method of the engine that has the name of the kind. */
export function askEngine<Kind extends QuestionKind>(
  engine: Engine,
  kind: Kind,
  question: Questions[Kind]["question"],
): Questions[Kind]["answer"] {
  const answer = engine[kind] as (question: Questions[Kind]["question"]) => Questions[Kind]["answer"];
  return answer.call(engine, question);
}
