/**
 * Answers to questions of local authorization: SQL over the application's own database. Each is computed in one read
 * snapshot, like all answers of the engine that it belongs to.
 */
import type { FactType } from "../../datalog/analysis/fact-types.ts";
import type { DataBindings } from "../../local/bindings.ts";
import { type ExplainedSql, explainSql } from "../../local/explain-sql.ts";
import {
  actionsSql,
  authorizeSql,
  filterSql,
  listSql,
  type LocalSqlOptions,
  parameterSql,
  selectSql,
} from "../../local/local-sql.ts";
import { withParameters } from "../../local/parameters.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { fitsInBytes } from "../../util/text-length.ts";
import type { EvaluationLimits } from "../evaluator/evaluate.ts";
import { OffloadRequired } from "../query/offload-required.ts";
import type { Planner } from "../query/planner.ts";
import type { ExecutionLimits } from "../query/query-execution.ts";
import type { QueryKind, ReadView } from "../query/read-view.ts";
import type {
  ActionsQuestion,
  AuthorizeQuestion,
  BindingsCheck,
  BindingsCheckQuestion,
  BindingsReference,
  ListQuestion,
  LocalActionsQuestion,
  LocalAuthorizeQuestion,
  LocalListQuestion,
  LocalQueryQuestion,
  LocalSql,
  Query,
} from "../request/questions.ts";
import { CentralFacts } from "./central-facts.ts";
import { type ParsedBindings, QuestionBindings } from "./question-bindings.ts";

/** A question whose answer is SQL over the application's own database. */
export interface AuthorizeSqlQuestion extends Omit<AuthorizeQuestion, "text"> {
  readonly bindings: DataBindings;
}

export interface SelectSqlQuestion {
  readonly query: Query;
  /** The names of the columns, by variable. */
  readonly columns: ReadonlyMap<string, string>;
  readonly bindings: DataBindings;
}

export interface FilterSqlQuestion {
  readonly query: Query;
  readonly variable: string;
  /** The column with the ids of the variable, as the application writes it. */
  readonly column: string;
  readonly bindings: DataBindings;
}

export interface ActionsSqlQuestion extends ActionsQuestion {
  readonly bindings: DataBindings;
}

export interface ListSqlQuestion extends ListQuestion {
  readonly bindings: DataBindings;
  /** The column with the ids of the resources, as the application writes it. */
  readonly column: string;
}

function notReadyWithoutPolicy(): never {
  throw new AppError("invalid_request", "no policy is active: save one first");
}

/** What the answers need of their engine. */
export interface LocalAnswersOptions {
  readonly database: Connection;
  readonly limits: ExecutionLimits;
  readonly clock: () => number;
  readonly view: ReadView;
  /** Notes the time of an answer. */
  readonly noteAnswer: (now: number) => void;
  /** Runs `body` with the planner of the active policy; returns `none` if no policy is active. */
  readonly answer: <T>(
    kind: QueryKind,
    asked: readonly Value[],
    contextFacts: readonly Fact[],
    none: T,
    body: (planner: Planner, context: readonly FactType[]) => T,
  ) => T;
}

export class LocalAnswers {
  readonly #database: Connection;
  readonly #limits: ExecutionLimits;
  readonly #clock: () => number;
  readonly #view: ReadView;
  readonly #noteAnswer: LocalAnswersOptions["noteAnswer"];
  readonly #answer: LocalAnswersOptions["answer"];
  readonly #bindings: QuestionBindings;

  constructor({ database, limits, clock, view, noteAnswer, answer }: LocalAnswersOptions) {
    this.#database = database;
    this.#limits = limits;
    this.#clock = clock;
    this.#view = view;
    this.#noteAnswer = noteAnswer;
    this.#answer = answer;
    this.#bindings = new QuestionBindings(database, limits, limits.onServingThread);
  }

  /** The decision as SQL for the database of an application. Throws as `authorizeSql`, and as `QuestionBindings.of`. */
  authorizeLocal(question: LocalAuthorizeQuestion): LocalSql {
    return this.#local(question, (bindings) => this.authorizeSql({ ...question, bindings }));
  }

  /** As `listSql`. Throws as `authorizeLocal`. */
  listLocal(question: LocalListQuestion): LocalSql {
    return this.#local(question, (bindings) => this.listSql({ ...question, bindings }));
  }

  /** As `actionsSql`. Throws as `authorizeLocal`. */
  actionsLocal(question: LocalActionsQuestion): LocalSql {
    return this.#local(question, (bindings) => this.actionsSql({ ...question, bindings }));
  }

  /** As `selectSql` or `filterSql`. Throws as `authorizeLocal`. */
  queryLocal({ output, ...question }: LocalQueryQuestion): LocalSql {
    return this.#local(question, (bindings) =>
      output.mode === "select"
        ? this.selectSql({ query: question, columns: new Map(output.columns), bindings })
        : this.filterSql({ query: question, variable: output.variable, column: output.column, bindings }),
    );
  }

  /** Which rows of the application can change the decision. Throws as `authorizeLocal`. */
  explainLocal(question: Omit<LocalAuthorizeQuestion, "withParameters">): ExplainedSql {
    const { actor, action, resource, contextFacts } = question;
    return this.#view.read(() => {
      const bindings = this.#bindings.of(question.bindings);
      const { dialect } = bindings;
      const none: ExplainedSql = {
        ...{ dialect, decision: "deny", sql: "SELECT FALSE AS allowed", alternatives: [], more: false },
      };
      return this.#answer("authorize", [actor, resource], contextFacts, none, (planner, context) => {
        const options = this.#localOptions(planner, context, contextFacts, bindings);
        return explainSql({ actor, action, resource }, this.#limits.explanationEntriesMax, options);
      });
    });
  }

  #local(
    question: { readonly bindings: BindingsReference; readonly withParameters: boolean },
    sqlFor: (bindings: DataBindings) => string,
  ): LocalSql {
    this.#noteAnswer(this.#clock());
    return this.#view.read(() => {
      this.#view.notePosition();
      const { localSqlBytesMax, onServingThread } = this.#limits;
      const answer = offloading(onServingThread, () => {
        const bindings = this.#bindings.of(question.bindings);
        return question.withParameters
          ? parameterSql(sqlFor(withParameters(bindings)), bindings)
          : { sql: sqlFor(bindings) };
      });
      if (!fitsInBytes(answer.sql, localSqlBytesMax))
        throw new AppError(
          "query_too_expensive",
          `the SQL would be longer than ${localSqlBytesMax} bytes: bind the facts with many values to queries of your database`,
        );
      return answer;
    });
  }

  /** Checks data bindings, without the policy. Throws as `QuestionBindings.of`. */
  bindingsCheck({ bindings }: BindingsCheckQuestion): BindingsCheck {
    return { signatures: this.#bindings.of(bindings).bindings.length };
  }

  /** Parsed bindings, so that another engine need not parse them. */
  parsedBindings(reference: BindingsReference): ParsedBindings | undefined {
    return this.#view.read(() => this.#bindings.find(reference));
  }

  addParsedBindings(parsed: ParsedBindings): void {
    this.#bindings.add(parsed);
  }

  /** The decision as SQL for the database of an application. Throws `invalid_request` if SQL can't express it. */
  authorizeSql({ actor, action, resource, contextFacts, bindings }: AuthorizeSqlQuestion): string {
    return this.#answer("authorize", [actor, resource], contextFacts, "SELECT FALSE AS allowed", (planner, context) =>
      authorizeSql({ actor, action, resource }, this.#localOptions(planner, context, contextFacts, bindings)),
    );
  }

  /** Whether the resource in a column is in the list, as a condition in SQL. Throws as `authorizeSql`. */
  listSql({ actor, action, resourceType, column, contextFacts, bindings }: ListSqlQuestion): string {
    return this.#answer("list", [actor], contextFacts, "FALSE", (planner, context) =>
      listSql({ actor, action, resourceType, column }, this.#localOptions(planner, context, contextFacts, bindings)),
    );
  }

  /** The allowed actions as SQL with one row for each. Throws as `authorizeSql`. */
  actionsSql({ actor, resource, contextFacts, bindings }: ActionsSqlQuestion): string {
    const none = "SELECT NULL AS actions WHERE 1 = 0";
    return this.#answer("actions", [actor, resource], contextFacts, none, (planner, context) =>
      actionsSql(
        { actor, resource, permissions: planner.permissions(resource.type) },
        this.#localOptions(planner, context, contextFacts, bindings),
      ),
    );
  }

  /** The rows of a query as SQL, with a column for each variable in `columns`. Throws as `authorizeSql`. */
  selectSql({ query, columns, bindings }: SelectSqlQuestion): string {
    return this.#answerWithRules(query, (planner, context) =>
      selectSql(query, columns, this.#localOptions(planner, context, query.contextFacts, bindings)),
    );
  }

  /** Whether the query has an answer with the id in a column, as a condition in SQL. Throws as `authorizeSql`. */
  filterSql({ query, variable, column, bindings }: FilterSqlQuestion): string {
    return this.#answerWithRules(query, (planner, context) =>
      filterSql(query, { variable, column }, this.#localOptions(planner, context, query.contextFacts, bindings)),
    );
  }

  #answerWithRules(query: Query, body: (planner: Planner, context: readonly FactType[]) => string): string {
    const asked = [...query.variables.values()].flatMap(({ type, ids }) => (ids ?? []).map((id) => ({ type, id })));
    return (
      this.#answer<string | undefined>("query", asked, query.contextFacts, undefined, body) ?? notReadyWithoutPolicy()
    );
  }

  #localOptions(
    planner: Planner,
    context: readonly FactType[],
    contextFacts: readonly Fact[],
    bindings: DataBindings,
  ): LocalSqlOptions {
    const now = this.#clock();
    this.#noteAnswer(now);
    const { onServingThread, factsAtATimeMax, policyTypingsMax, servingThreadPlanTypingsMax } = this.#limits;
    const typingsMax = onServingThread ? Math.min(policyTypingsMax, servingThreadPlanTypingsMax) : policyTypingsMax;
    const limits = { ...this.#limits, policyTypingsMax: typingsMax };
    const { program, factTypes: facts, sources, types } = planner;
    const statistics = this.#view.statistics();
    const read = { database: this.#database, types, contextFacts, now, factsAtATimeMax, statistics };
    return {
      ...{ program, facts, sources, context, bindings, limits, shapes: planner.localShapes, now: () => now },
      signatures: (all) => planner.signaturesWith(all),
      isNamed: (value) => planner.names(value),
      central: (real) => new CentralFacts({ ...read, limits: evaluationLimits(this.#limits), real }),
    };
  }
}

/** How much the evaluator may do for one condition of SQL. */
function evaluationLimits(limits: ExecutionLimits): EvaluationLimits {
  const { onServingThread, localValuesMax, queryStepsMax, queryValuesMax, queryTimeMsMax } = limits;
  const { servingThreadQueryStepsMax, servingThreadAnswerValuesMax, servingThreadTimeMsMax } = limits;
  return {
    stepsMax: onServingThread ? servingThreadQueryStepsMax : queryStepsMax,
    rowsMax: onServingThread ? Math.min(localValuesMax, servingThreadAnswerValuesMax) : localValuesMax,
    valuesMax: queryValuesMax,
    endMs: performance.now() + (onServingThread ? servingThreadTimeMsMax : queryTimeMsMax),
    isLast: !onServingThread,
  };
}

/** Runs `body`. A limit that it reaches on the serving thread becomes OffloadRequired. */
function offloading<T>(onServingThread: boolean, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (onServingThread && error instanceof AppError && error.code === "query_too_expensive")
      throw new OffloadRequired("it takes long");
    throw error;
  }
}
