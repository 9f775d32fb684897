/**
 * The decision engine over one database: authorize, list, actions, query and the reads of facts, policies and API keys.
 * It is synchronous, and runs on the serving thread or in a worker process. Each answer is computed in one read snapshot,
 * so it belongs to exactly one state and one policy.
 */
import { defaultLimits } from "../config/limits.ts";
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { predicateKey } from "../datalog/ir/program.ts";
import { policyMetadata } from "../polar/metadata.ts";
import type { Connection } from "../store/connection/connection.ts";
import { fileBytes, type FileBytes, StoreFiles } from "../store/directory/store-files.ts";
import { type ClosureCounts, countClosures } from "../store/facts/closure-tables.ts";
import { eachMatch, factTables, hasFact, matchFacts } from "../store/facts/fact-tables.ts";
import { type FactFilter, type FactPage, type FactPosition, readFactPage } from "../store/facts/fact-pages.ts";
import type { FactPageBounds } from "../store/facts/fact-walk.ts";
import { type ObjectFactPage, type ObjectFactPosition, readObjectFacts } from "../store/facts/object-facts.ts";
import type { Fact, FactPattern, Value } from "../store/facts/fact.ts";
import { type ObjectIds, readObjectIds } from "../store/facts/object-ids.ts";
import { warmUpSymbolCache } from "../store/facts/symbols.ts";
import { allSecrets, findSecrets } from "../store/keys/api-keys.ts";
import { allBindings, findBindings, type StoredBindings } from "../store/keys/stored-bindings.ts";
import type { KeySecret } from "../store/keys/key-grant.ts";
import { readRevision, readState, type Revision, type StoreState } from "../store/log/store-state.ts";
import { allTypes } from "../store/facts/symbols.ts";
import { countFacts, countFactsByPredicate } from "../store/statistics/table-statistics.ts";
import { recordRows, type Span, withSpan } from "../telemetry/tracing.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { factPageRowsExamined, factPageRowsSorted } from "../util/tuning.ts";
import { activationOf } from "../policy/activation.ts";
import { noPolicy, unknownNamesIn } from "./request/question-names.ts";
import { suggestionsFor } from "./request/suggestions.ts";
import { activate } from "../policy/active-policy.ts";
import { type FactUses, factUsesOf } from "../policy/fact-schema.ts";
import { tooManyAnswers } from "./evaluator/evaluate.ts";
import {
  findVersion,
  readHistory,
  readVersion,
  type HistoryPage,
  type PolicyVersion,
} from "../policy/policy-history.ts";
import { LocalAnswers } from "./local/local-answers.ts";
import type { ReadFactTypes } from "../policy/head-facts.ts";
import { Admission } from "./query/admission.ts";
import type { CachedDecision } from "./query/decision-cache.ts";
import { unplannedQuestions } from "./query/expected-questions.ts";
import { OffloadRequired } from "./query/offload-required.ts";
import { mergeWildcards, otherTypeThan, typingsOf } from "./query/pattern-typings.ts";
import type { Plan, Planner } from "./query/planner.ts";
import { decisionAttributes, type ExecutionLimits, type GivenValues, QueryExecution } from "./query/query-execution.ts";
import { type QueryKind, ReadView, type ReadViewOptions } from "./query/read-view.ts";
import {
  allowCall,
  factTypesOf,
  free,
  given,
  keyed,
  type KeyedShape,
  type Shape,
  stringVariable,
} from "./query/shapes.ts";
import { sortStrings } from "./query/string-order.ts";
import { checkFact } from "../policy/fact-check.ts";
import { packStrings } from "./request/packed-strings.ts";
import type {
  ActionsQuestion,
  ActorListingQuestion,
  AnswerVersion,
  AuthorizeQuestion,
  BindingsCheck,
  BindingsCheckQuestion,
  BulkActionsQuestion,
  Listing,
  ListingQuestion,
  ListQuestion,
  LocalActionsQuestion,
  LocalAuthorizeQuestion,
  LocalListQuestion,
  LocalQueryQuestion,
  LocalSql,
  Metadata,
  MetadataQuestion,
  PatternQuestion,
  Query,
  QueryRow,
  QuestionKind,
  Questions,
  ResourcesQuestion,
  Suggestions,
} from "./request/questions.ts";

export interface EngineOptions extends Partial<ReadViewOptions> {
  /** Seconds since 1970. */
  readonly clock?: () => number;
  /** The maximum number of facts that the evaluator reads at a time; it throws `TooManyFacts` beyond that. */
  readonly factsAtATimeMax?: number;
}

export class Engine {
  /** Answers of local authorization. */
  readonly local: LocalAnswers;
  readonly #database: Connection;
  readonly #limits: ExecutionLimits;
  readonly #clock: () => number;
  readonly #view: ReadView;
  readonly #admission: Admission | undefined;
  readonly #files: StoreFiles;
  /** The time of the last answer, and whether it came from the decision cache. */
  #answeredAt = 0;
  #wasCached = false;
  /** The last planner whose plans were made ahead. */
  #warmedUp: Planner | undefined;
  #version: AnswerVersion | undefined;
  /** Of the last decision. */
  #unknown: readonly string[] = [];
  /** Of denied questions with this shape. */
  readonly #unknownOf = new WeakMap<KeyedShape, readonly string[]>();

  /** `database` is a read-only connection that only this engine uses. */
  constructor(database: Connection, options: EngineOptions = {}) {
    this.#database = database;
    this.#files = new StoreFiles(database.path);
    const { limits = defaultLimits, strategy = "statement", onServingThread = false, inTransaction = false } = options;
    const factsAtATimeMax = onServingThread ? limits.servingThreadQueryStepsMax : options.factsAtATimeMax;
    this.#limits = { ...limits, factsAtATimeMax, onServingThread };
    if (onServingThread) this.#admission = new Admission(database, limits);
    this.#clock = options.clock ?? (() => Math.floor(Date.now() / 1000));
    database.resizeSymbolCache(limits.symbolCacheEntriesMax);
    const { changes, after } = options;
    this.#view = new ReadView(database, { limits, strategy, onServingThread, changes, after, inTransaction });
    this.local = new LocalAnswers({
      ...{ database, limits: this.#limits, clock: this.#clock, view: this.#view },
      noteAnswer: (now) => this.#noteAnswer(now, false),
      answer: (...given) => this.#answer(...given),
    });
  }

  /** Whether the actor may do the action on the resource. False without a policy, and for unknown names and values. */
  authorize(question: AuthorizeQuestion): boolean {
    const now = this.#clock();
    return this.cachedDecision(question, now) ?? this.#decide(question, now);
  }

  /** What the last answer was computed from. Ask right after the answer. */
  get answered(): AnswerVersion {
    const position = must(this.#view.position, "the engine has answered a question");
    const [clock, isCached] = [this.#answeredAt, this.#wasCached];
    const known = this.#version;
    // Most answers of a second share the object.
    if (known?.clock === clock && known.isCached === isCached && known.offset === position.offset) {
      if (known.epoch === position.epoch && known.policyId === position.policyId) return known;
    }
    return (this.#version = { ...position, clock, isCached });
  }

  /** The decision cached for the question or the text of its request body, if it is still valid. */
  cachedDecision(question: AuthorizeQuestion | string, now = this.#clock()): boolean | undefined {
    const decision = this.#view.cachedDecision(question, now);
    if (decision === undefined) return undefined;
    return this.#hit(decision, now);
  }

  /** As `unknownNames`, of the last decision. */
  get unknown(): readonly string[] {
    return this.#unknown;
  }

  /**
   * One sentence for each name in the question that the policy does not have, if the question found nothing. Ask right
   * after the answer.
   */
  unknownNames<Kind extends QuestionKind>(
    kind: Kind,
    question: Questions[Kind]["question"],
    answer: Questions[Kind]["answer"],
  ): readonly string[] {
    if (kind === "authorize") return this.unknown;
    return unknownNamesIn(kind, question, answer, () => this.#view.read(() => activationOf(this.#database))?.active);
  }

  #hit({ allowed, unknown }: CachedDecision, now: number): boolean {
    this.#noteAnswer(now, true);
    this.#unknown = unknown;
    return tracedHit(allowed);
  }

  #noteAnswer(now: number, isCached: boolean): void {
    this.#answeredAt = now;
    this.#wasCached = isCached;
  }

  #decide(question: AuthorizeQuestion, now: number): boolean {
    this.#noteAnswer(now, false);
    const { actor, action, resource, contextFacts } = question;
    for (const fact of contextFacts) checkFact(fact, this.#limits, [actor]);
    const { decisions } = this.#view;
    // Like `#answer`, but without a closure, because most requests take this path.
    const handle = this.#view.begin();
    try {
      const planner = this.#view.planner(handle);
      this.#unknown = [noPolicy];
      if (planner === undefined) return false;
      const decision = decisions.find(question, now);
      if (decision !== undefined) return this.#hit(decision, now);
      const constant = planner.isConstant(action) ? action : undefined;
      const context = factTypesOf(contextFacts);
      const shape = planner.allowShapes.of("authorize", actor.type, constant, resource.type, context);
      const execution = this.#execution(planner, shape, contextFacts, now);
      const values: GivenValues = [actor, { type: "String", id: action }, resource];
      const allowed = execution.holds(values);
      const findUnknown = () => unknownNamesIn("authorize", question, allowed, () => planner.active);
      // With the action in the shape, they depend on the shape only, and are found once.
      const isOfShape = !allowed && constant !== undefined && context.length === 0;
      const unknown = isOfShape ? this.#unknownOf.getOrInsertComputed(shape, findUnknown) : findUnknown();
      this.#unknown = unknown;
      const key = decisions.keyOf(question);
      if (key !== undefined)
        decisions.add(key, execution.plan, { allowed, unknown }, execution.dependsOnTime(values) ? now : undefined);
      return allowed;
    } finally {
      this.#view.end("authorize", handle);
    }
  }

  /** The resources on which the actor may do the action, in the order and as often as they were given. */
  authorizeResources({ resources, ...question }: ResourcesQuestion): Value[] {
    const requireTime = this.#timeLimit("ask for fewer resources");
    const now = this.#clock();
    return this.#view.read(() => {
      const allowed = resources.filter((resource) => {
        requireTime();
        // Not `authorize`, which may take a cached decision of a newer state.
        return this.#decide({ ...question, resource }, now);
      });
      this.#view.notePosition();
      this.#noteAnswer(now, false);
      return allowed;
    });
  }

  /** The sorted ids of the resources; `*` stands for every resource of the type. Throws `query_not_enumerable`. */
  list(question: ListQuestion): string[] {
    return this.#list(question, this.#clock()).ids;
  }

  /** The same list with its version. */
  listing({ now = this.#clock(), ...question }: ListingQuestion): Listing {
    return this.#view.read(() => {
      const revision = readRevision(this.#database);
      const { ids, isTimeDependent } = this.#list(question, now);
      return { ...revision, second: isTimeDependent ? now : null, ids: packStrings(ids) };
    });
  }

  #list(question: ListQuestion, now: number): { ids: string[]; isTimeDependent: boolean } {
    this.#noteAnswer(now, false);
    const { actor, action, resourceType, contextFacts } = question;
    const none = { ids: [], isTimeDependent: false };
    return this.#answer("list", [actor], contextFacts, none, (planner, context) => {
      const constant = planner.isConstant(action) ? action : undefined;
      const shape = planner.allowShapes.of("list", actor.type, constant, resourceType, context);
      const execution = this.#execution(planner, shape, contextFacts, now);
      const ids = execution.ids([actor, { type: "String", id: action }]);
      return { ids, isTimeDependent: execution.mayDependOnTime };
    });
  }

  /** The sorted ids of the actors of one type that may do the action; `*` stands for every actor of the type. */
  actorListing({ actorType, action, resource, contextFacts, now = this.#clock() }: ActorListingQuestion): Listing {
    this.#noteAnswer(now, false);
    return this.#view.read(() => {
      const revision = readRevision(this.#database);
      const none = { ...revision, second: null, ids: packStrings([]) };
      return this.#answer("query", [], contextFacts, none, (planner, context) => {
        const constant = planner.isConstant(action) ? action : undefined;
        const variables = [free(actorType), stringVariable(constant), given(resource.type)];
        const shape = keyed({ calls: allowCall, variables, context });
        const execution = this.#execution(planner, shape, contextFacts, now);
        const rows = execution.rows([undefined, { type: "String", id: action }, resource], [0]);
        const ids = packStrings(sortStrings(rows.map(([id]) => id ?? "*")));
        return { ...revision, second: execution.mayDependOnTime ? now : null, ids };
      });
    });
  }

  /** The actions that the actor may do, sorted; if every action is allowed, the declared permissions. */
  actions(question: ActionsQuestion): string[] {
    return this.#actions(question, this.#clock());
  }

  #actions({ actor, resource, contextFacts }: ActionsQuestion, now: number): string[] {
    this.#noteAnswer(now, false);
    return this.#answer("actions", [actor], contextFacts, [], (planner, context) => {
      const shape = planner.allowShapes.of("actions", actor.type, undefined, resource.type, context);
      const rows = this.#execution(planner, shape, contextFacts, now).rows([actor, undefined, resource], [1]);
      const named = rows.flatMap((row) => (row[0] === null ? planner.permissions(resource.type) : [must(row[0])]));
      return [...new Set(named)].sort();
    });
  }

  /** The actions for each question, in their order, from one state. */
  bulkActions({ questions, contextFacts: shared }: BulkActionsQuestion): { results: string[] }[] {
    const requireTime = this.#timeLimit("ask for fewer resources");
    const now = this.#clock();
    return this.#view.read(() => {
      this.#view.notePosition();
      this.#noteAnswer(now, false);
      return questions.map(({ contextFacts, ...question }) => {
        requireTime();
        return { results: this.#actions({ ...question, contextFacts: [...shared, ...contextFacts] }, now) };
      });
    });
  }

  /**
   * All facts that match the pattern. A `null` id stands for every value of its type, and a `null` type for every value
   * of any type. Throws `query_not_enumerable`.
   */
  queryPattern({ fact, contextFacts }: PatternQuestion): FactPattern[] {
    const { onServingThread, servingThreadAnswerValuesMax, servingThreadQueryCallsMax, queryRowsMax } = this.#limits;
    const { predicate, args } = fact;
    const requireTime = this.#timeLimit("give the types of more arguments");
    const now = this.#clock();
    this.#noteAnswer(now, false);
    return this.#answer("query", valuesOf(fact), contextFacts, [], (planner, context) => {
      const known = new Set([...planner.policyTypes, ...allTypes(this.#database), ...typesIn(args, context)]);
      const otherType = otherTypeThan(known);
      const types = [...known, otherType];
      const signatures = planner.signaturesOf(fact, context);
      const typings = typingsOf(fact, signatures, types);
      if (onServingThread && typings.length > servingThreadQueryCallsMax) throw new OffloadRequired("many types");
      const names = args.map((_, position) => String(position));
      const found: FactPattern[] = [];
      for (const typing of typings) {
        requireTime();
        const variables = new Map(
          args.map(({ id }, position) => [
            must(names[position]),
            { type: must(typing[position]), ids: id === null ? null : [id] },
          ]),
        );
        for (const row of this.#query({ calls: [{ predicate, variables: names }], variables, contextFacts }, now))
          found.push({
            predicate,
            args: typing.map((type, position) => ({ type, id: row[must(names[position])] ?? null })),
          });
        if (onServingThread && found.length * args.length > servingThreadAnswerValuesMax)
          throw new OffloadRequired("many answers");
        if (found.length > queryRowsMax) throw tooManyAnswers(queryRowsMax);
      }
      return mergeWildcards(found, fact, types, otherType);
    });
  }

  /** Distinct rows, sorted, each with all variables. */
  query(query: Query): QueryRow[] {
    return this.#query(query, this.#clock());
  }

  #query(query: Query, now: number): QueryRow[] {
    this.#noteAnswer(now, false);
    const names = [...query.variables.keys()];
    const variables = [...query.variables.values()];
    if (variables.some(({ ids }) => ids?.length === 0)) {
      this.#view.read(() => this.#view.notePosition());
      return [];
    }
    const empty = variables.flatMap(({ type, ids }) => (ids?.includes("") === true ? [{ type, id: "" }] : []));
    return this.#answer("query", empty, query.contextFacts, [], (planner, context) => {
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
          return type === "String" && planner.isConstant(only) ? stringVariable(only) : given(type);
        }),
        context,
      };
      const listed = variables.reduce((most, { ids }) => Math.max(most, ids?.length ?? 0), 0);
      const execution = this.#execution(planner, keyed(shape), query.contextFacts, now, listed);
      const values = variables.map(({ type, ids }) =>
        ids?.length === 1 ? { type, id: must(ids[0]) } : ids?.map((id) => ({ type, id })),
      );
      const asked = variables.flatMap(({ ids }, index) => (ids?.length === 1 ? [] : [index]));
      const columns = names.map((name, index) => ({
        name,
        position: asked.indexOf(index),
        id: variables[index]?.ids?.[0],
      }));
      return execution.rows(values, asked).map((row) => {
        // Without a prototype, every variable name (such as `constructor`) is a property of the row itself.
        const named = Object.create(null) as Record<string, string | null>;
        for (const { name, position, id } of columns) named[name] = position < 0 ? must(id) : (row[position] ?? null);
        return named;
      });
    });
  }

  // Each kind of question has a method of its name (`askEngine`). Those of local authorization: see `LocalAnswers`.

  authorizeLocal(question: LocalAuthorizeQuestion): LocalSql {
    return this.local.authorizeLocal(question);
  }

  listLocal(question: LocalListQuestion): LocalSql {
    return this.local.listLocal(question);
  }

  actionsLocal(question: LocalActionsQuestion): LocalSql {
    return this.local.actionsLocal(question);
  }

  queryLocal(question: LocalQueryQuestion): LocalSql {
    return this.local.queryLocal(question);
  }

  bindingsCheck(question: BindingsCheckQuestion): BindingsCheck {
    return this.local.bindingsCheck(question);
  }

  /** The stored facts that match. A pattern with fewer arguments than a fact leaves the rest open. Sorted by arity. */
  facts(pattern: FactPattern): Fact[] {
    return this.#view.timed("facts", () =>
      withSpan("query", {}, (span) => {
        const statistics = this.#view.statistics();
        const facts = patternsByTable(this.#database, pattern).flatMap(({ table, fullPattern }) => {
          const arity = fullPattern.args.length;
          // A given first argument is found with the primary key; every other pattern scans the table.
          const hasFirst = typeof fullPattern.args[0]?.id === "string";
          const bound = statistics.maxRows(table, hasFirst ? [1] : [], new Array(arity).fill(undefined));
          this.#admission?.admitRows(bound);
          this.#admission?.admitValues(bound * arity);
          return matchFacts(this.#database, fullPattern, this.#limits.queryRowsMax);
        });
        recordRows(span, facts.length);
        return facts;
      }),
    );
  }

  /** The next facts after `after`, or the first ones: at most `factsMax`. */
  factPage(filter: FactFilter, after: FactPosition | undefined, factsMax: number): FactPage {
    return this.#factsOfPage(factsMax, (bounds) => readFactPage(this.#database, filter, after, bounds));
  }

  /**
   * The next facts that mention a value, as one of their arguments. Throws `list_gone` if the indexes, and so the order
   * of the facts, have changed since the page before.
   */
  objectFactPage(value: Value, after: ObjectFactPosition | undefined, factsMax: number): ObjectFactPage {
    return this.#factsOfPage(factsMax, (bounds) => {
      const page = readObjectFacts(this.#database, value, after, bounds);
      if (page !== undefined) return page;
      throw new AppError(
        "list_gone",
        "the `page_token` belongs to another order of the facts: the policy has changed, or another version of the program answered; begin without a `page_token`",
      );
    });
  }

  /** The ids of a type that begin with `prefix`, of objects that facts mention: the first `idsMax`. */
  objectIds(type: string, prefix: string, idsMax: number): ObjectIds {
    return this.#view.timed("facts", () =>
      withSpan("query", {}, (span) => {
        const found = readObjectIds(this.#database, type, prefix, idsMax);
        recordRows(span, found.ids.length);
        return found;
      }),
    );
  }

  #factsOfPage<Page extends { readonly facts: readonly Fact[] }>(
    factsMax: number,
    read: (bounds: FactPageBounds) => Page,
  ): Page {
    const { factPageEntriesMax, factPageBytesMax } = this.#limits;
    const bounds = {
      factsMax: Math.min(factsMax, factPageEntriesMax),
      bytesMax: factPageBytesMax,
      examinedMax: factPageRowsExamined,
      sortedMax: factPageRowsSorted,
    };
    return this.#view.timed("facts", () =>
      withSpan("query", {}, (span) => {
        const page = read(bounds);
        recordRows(span, page.facts.length);
        return page;
      }),
    );
  }

  /** All matching facts, one by one, of one state. The engine must not be asked anything else meanwhile. */
  *eachFact(pattern: FactPattern): Generator<Fact> {
    const transaction = this.#database.begin();
    try {
      for (const { fullPattern } of patternsByTable(this.#database, pattern))
        yield* eachMatch(this.#database, fullPattern);
    } finally {
      transaction.rollback();
    }
  }

  /** Whether exactly this fact is stored. */
  isStored(fact: Fact): boolean {
    return this.#view.timed("facts", () => hasFact(this.#database, fact));
  }

  /** The active policy, or an older one by its id; `null` if the history does not have it. */
  policy(id?: number): PolicyVersion | null {
    return this.#view.read(() => {
      const version =
        id === undefined
          ? readVersion(this.#database, readState(this.#database).policyId)
          : findVersion(this.#database, id);
      return version ?? null;
    });
  }

  /** The newest versions of the policy, or those that are older than the one with the id `before`. */
  policyHistory(max: number, before?: number): HistoryPage {
    return this.#view.read(() => readHistory(this.#database, max, before));
  }

  metadata({ id }: MetadataQuestion): Metadata {
    if (id === undefined) {
      const activation = this.#view.read(() => activationOf(this.#database));
      return { resources: activation ? policyMetadata(activation.active.policy) : null };
    }
    const policy = this.policy(id);
    if (policy === null) return { resources: null };
    // Compiling a large policy takes seconds.
    if (this.#limits.onServingThread) throw new OffloadRequired("an older policy");
    return { resources: policyMetadata(activate(policy.source, policy.filename).policy) };
  }

  /** Names for an editor of facts, from the active policy. */
  suggestions(): Suggestions {
    const activation = this.#view.read(() => activationOf(this.#database));
    if (activation === undefined) return { suggestions: {}, actors: [] };
    const { active } = activation;
    if (this.#limits.onServingThread && active.program.rules.length > suggestionRulesMax)
      throw new OffloadRequired("many rules");
    return suggestionsFor(active);
  }

  /** The fact types that answers read, and the signatures that follow from them; `undefined` if no policy is active. */
  factTypes(): ReadFactTypes | undefined {
    return this.#view.read(() => this.#view.factTypes());
  }

  /** The secrets of an API key, the present one first; empty if there is no such key. */
  secretsOf(id: string): KeySecret[] {
    return this.#view.read(() => findSecrets(this.#database, id));
  }

  /** The secrets of all API keys, by the age of the keys. */
  apiKeys(): KeySecret[] {
    return this.#view.read(() => allSecrets(this.#database));
  }

  /** The data bindings that the environment stores under the name. */
  storedBindings(name: string): StoredBindings | undefined {
    return this.#view.read(() => findBindings(this.#database, name));
  }

  /** All data bindings that the environment stores, by name. */
  allStoredBindings(): StoredBindings[] {
    return this.#view.read(() => allBindings(this.#database));
  }

  /** What the active policy can use as facts. */
  factUses(): FactUses {
    return this.#view.read(() => factUsesOf(activationOf(this.#database)));
  }

  /** Compiles a policy that has just become active, so that no query has to wait for it. */
  warmUpPolicy(): void {
    this.#view.read(() => activationOf(this.#database));
  }

  /** A decision that the policy declares, about objects that nobody has. Undefined if it declares none. */
  get declaredQuestion(): AuthorizeQuestion | undefined {
    const active = this.#view.read(() => activationOf(this.#database))?.active;
    const types = [...(active?.policy.types.values() ?? [])];
    const actor = types.find(({ kind }) => kind === "actor");
    const resource = types.find(({ permissions }) => permissions.length > 0);
    const action = resource?.permissions[0];
    if (actor === undefined || resource === undefined || action === undefined) return undefined;
    const nobody = (type: string) => ({ type, id: "-" });
    return { actor: nobody(actor.name), action, resource: nobody(resource.name), contextFacts: [] };
  }

  /**
   * Plans what was asked before and, while `isIdle()`, what the policy declares: at most `max` questions, one at each
   * step, so that a first question does not wait for its plan. Run the steps between questions, and all of them again
   * when the data has changed: they end at once if the plans are still the best ones.
   */
  *warmUpPlans(max: number, isIdle: () => boolean): Generator<undefined, void> {
    let planner: Planner | undefined;
    let shapes: Iterator<KeyedShape, void> | undefined;
    for (;;) {
      let isOver = true;
      this.#view.withPlanner((current) => {
        if (current === this.#warmedUp) return;
        if (shapes === undefined || current !== planner)
          [planner, shapes] = [current, unplannedQuestions(current, max, isIdle)];
        const next = shapes.next();
        isOver = next.done === true;
        if (next.done === true) this.#warmedUp = current;
        else this.#planAhead(current, next.value);
      });
      if (isOver) return;
      yield;
    }
  }

  #planAhead(planner: Planner, shape: KeyedShape): void {
    try {
      this.#admission?.admit(planner.planAhead(shape), this.#view.statistics(), 0);
    } catch (error) {
      // A worker process plans or answers this question.
      if (!(error instanceof OffloadRequired)) throw error;
    }
  }

  /** The shapes of the last questions, the newest first. An engine that begins takes over those of an earlier one. */
  get expectedQuestions(): readonly Shape[] {
    return this.#view.expected.map(({ shape }) => shape);
  }

  /** Set it before the first question. */
  set expectedQuestions(shapes: readonly Shape[]) {
    this.#view.expected = shapes.map(keyed);
  }

  /** Questions with these shapes were asked elsewhere, the last ones first. */
  expectQuestions(shapes: readonly Shape[]): void {
    this.#view.expect(shapes.map(keyed));
  }

  /** Fills the symbol cache, a few hundred values at each step. Run the steps between queries. */
  warmUpSymbols(): Generator<undefined, void> {
    return warmUpSymbolCache(this.#database);
  }

  /** The path of the database. Throws a StorageError if the file was replaced (it may hold anything) or is gone. */
  get path(): string {
    this.#files.check();
    return this.#database.path;
  }

  /** The revision of the data: epoch and offset. */
  revision(): Revision {
    return this.#view.read(() => readRevision(this.#database));
  }

  state(): StoreState {
    return this.#view.read(() => readState(this.#database));
  }

  /** The numbers of facts and closures, which the store keeps, and the sizes of the files. */
  size(): { readonly closures: ClosureCounts; readonly facts: number; readonly files: FileBytes } {
    const database = this.#database;
    const files = fileBytes(database.path);
    return this.#view.read(() => ({ closures: countClosures(database), facts: countFacts(database), files }));
  }

  /** The ids of the newest policies, oldest first, and the number of facts of each predicate that has some. */
  statistics(): { readonly policies: readonly number[]; readonly facts: ReadonlyMap<string, number> } {
    const sql = `SELECT id FROM policy ORDER BY id DESC LIMIT ${countedPoliciesMax}`;
    return this.#view.read(() => ({
      policies: this.#database
        .statement(sql)
        .values()
        .map(([id]) => Number(id))
        .toReversed(),
      facts: countFactsByPredicate(this.#database),
    }));
  }

  close(): void {
    this.#view.close();
    this.#database.close();
  }

  /**
   * Runs `body` with the planner of the active policy; returns `none` if no policy is active. `asked` are the values of
   * the question that may be empty.
   */
  #answer<T>(
    kind: QueryKind,
    asked: readonly Value[],
    contextFacts: readonly Fact[],
    none: T,
    body: (planner: Planner, context: readonly FactType[]) => T,
  ): T {
    for (const fact of contextFacts) checkFact(fact, this.#limits, asked);
    return this.#view.timed(kind, (handle) => {
      const planner = this.#view.planner(handle);
      return planner === undefined ? none : body(planner, factTypesOf(contextFacts));
    });
  }

  /** Returns a function that throws when the time for one question is over. `remedy` is part of the error. */
  #timeLimit(remedy: string): () => void {
    const { onServingThread, servingThreadTimeMsMax, queryTimeMsMax } = this.#limits;
    const timeMsMax = onServingThread ? servingThreadTimeMsMax : queryTimeMsMax;
    const endMs = performance.now() + timeMsMax;
    return () => {
      if (performance.now() <= endMs) return;
      if (onServingThread) throw new OffloadRequired("it takes long");
      throw new AppError("query_too_expensive", `answering takes longer than ${timeMsMax} ms: ${remedy}`);
    };
  }

  /** `listed` is the length of the longest list in the question, without the context facts. */
  #execution(
    planner: Planner,
    shape: KeyedShape,
    contextFacts: readonly Fact[],
    now: number,
    listed = 0,
  ): QueryExecution {
    const plan = withSpan("plan", {}, planOf, planner, shape);
    this.#admission?.admit(plan, this.#view.statistics(), Math.max(listed, contextFacts.length));
    return new QueryExecution(this.#database, planner, plan, contextFacts, now, this.#limits);
  }
}

/** Listing the uses of facts in more rules takes longer than the serving thread may work. */
const suggestionRulesMax = 500;

const countedPoliciesMax = 100;

function valuesOf({ args }: FactPattern): Value[] {
  return args.flatMap(({ type, id }) => (type === null || id === null ? [] : [{ type, id }]));
}

/** The types of a question and its context facts, and those that every policy has. */
function typesIn(args: FactPattern["args"], context: readonly FactType[]): string[] {
  const given = args.flatMap(({ type }) => type ?? []);
  return [
    "String",
    "Integer",
    "Boolean",
    ...given,
    ...context.flatMap(({ types }) => types.filter((type) => type !== undefined)),
  ];
}

/** For each table of the predicate, the pattern with as many arguments as the facts of the table have. */
function patternsByTable(database: Connection, pattern: FactPattern) {
  return factTables(database)
    .filter(({ predicate, arity }) => predicate === pattern.predicate && arity >= pattern.args.length)
    .map(({ table, arity }) => {
      const rest = Array.from({ length: arity - pattern.args.length }, () => ({ type: null, id: null }));
      return { table, fullPattern: { ...pattern, args: [...pattern.args, ...rest] } };
    });
}

function planOf(span: Span, planner: Planner, { key, shape }: KeyedShape): Plan {
  if (span.isRecording()) span.setAttribute("ostiary.plan_cache", planner.hasPlan(key) ? "hit" : "miss");
  return planner.planFor(key, shape);
}

function tracedHit(decision: boolean): boolean {
  return withSpan("query", decision ? allowedHit : deniedHit, () => decision);
}

const allowedHit = { attributes: decisionAttributes(true, "hit") };
const deniedHit = { attributes: decisionAttributes(false, "hit") };

/** Calls the method of the engine that has the name of the kind. */
export function askEngine<Kind extends QuestionKind>(
  engine: Engine,
  kind: Kind,
  question: Questions[Kind]["question"],
): Questions[Kind]["answer"] {
  const answer = engine[kind] as (question: Questions[Kind]["question"]) => Questions[Kind]["answer"];
  return answer.call(engine, question);
}
