/** The entry point of the worker process: it answers offloaded queries, explains decisions and checks policies. */
import { defaultLimits, type Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/units.ts";
import { diagnosticToJson } from "../../polar/render.ts";
import type { Source } from "../../polar/source.ts";
import { serveWorker } from "../../runtime/worker.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { openStore } from "../../store/connection/open-store.ts";
import type { FactPattern } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { answerPieceBytes } from "../../util/tuning.ts";
import { askEngine, Engine } from "../engine.ts";
import { explainDecision, explainQuestion } from "../explain/decision.ts";
import type { ParsedBindings } from "../local/question-bindings.ts";
import { polarLimits } from "../../policy/active-policy.ts";
import { type FactCount, unusedFacts, unusedFactsWarning } from "../../policy/fact-schema.ts";
import { bytesOf, type PackedSize, type PackedStrings, packStrings, pieceOf } from "../request/packed-strings.ts";
import { listResultOf } from "../request/list-result.ts";
import {
  type Listing,
  type AnswerNote,
  type AuthorizeQuestion,
  type DecisionKind,
  type ExplainQuestion,
  type ListAnswerKind,
  questionFromJson,
  type QuestionKind,
  type Questions,
} from "../request/questions.ts";
import type { PolicyApproval, UploadedPolicy } from "../../log/append/policy-approval.ts";
import { approvePolicy } from "../validation/policy-approval.ts";
import { checkPolicy } from "../validation/policy-check.ts";
import { formatReport, policyReport, modelReport, rulesReport } from "../validation/policy-report.ts";
import { type AnswerPart, listPieces, takePart } from "./answer-parts.ts";

export interface StoreRequest {
  readonly limits: Limits;
  /** The database file that answers. */
  readonly storePath: string;
}

export interface CheckRequest extends StoreRequest {
  readonly sources: readonly Source[];
  readonly runTests: boolean;
  readonly coverage: boolean;
}

/** A question under a policy that is not stored. */
export interface DraftQuestion {
  readonly sources: readonly Source[];
  readonly question: AuthorizeQuestion;
}

export interface SourcesRequest {
  readonly limits: Limits;
  readonly sources: readonly Source[];
}

/** What a policy would do, without logged decisions; as JSON. */
export interface CheckedEffect {
  readonly isPolicy: boolean;
  readonly tests: string;
  readonly unusedFacts: string;
}

interface AnswerRequest<Kind extends QuestionKind> extends StoreRequest {
  readonly kind: Kind;
  /** A string is the question as JSON. */
  readonly question: Questions[Kind]["question"] | string;
}

interface PartsRequest extends AnswerRequest<ListAnswerKind> {
  /** The key of the list in the answer; without a key the list is the whole answer. */
  readonly key: string | undefined;
}

/** An answer, and of a decision also what it was computed from. */
export interface NotedAnswer<Kind extends QuestionKind = QuestionKind> {
  readonly answer: Questions[Kind]["answer"];
  readonly note: AnswerNote;
  /** The data bindings of the question, for the engine that could not parse them. */
  readonly parsed: ParsedBindings | undefined;
  /** The size of the ids, which the answer lacks because they are long: `idsPiece` returns them. */
  readonly longIds?: PackedSize;
}

export type WorkerCommands = typeof commands;

const commands = {
  /** Returns the report as JSON, so that no thread on the way to the client has to parse it. */
  check(request: CheckRequest): string {
    return JSON.stringify(checkedPolicy(request).report);
  },

  /** Runs the tests. Returns JSON, and whether the policy can be loaded. */
  effect(request: StoreRequest & SourcesRequest): CheckedEffect {
    const { report, unused } = checkedPolicy({ ...request, runTests: true, coverage: false });
    const isPolicy = !report.problems.some(({ severity }) => severity === "error");
    return { isPolicy, tests: JSON.stringify(report), unusedFacts: JSON.stringify(unused) };
  },

  /** Returns the report as JSON, like `check`. */
  format({ sources, limits }: SourcesRequest): string {
    return JSON.stringify(formatReport(sources, polarLimits(limits)));
  },

  /** Returns the report as JSON, like `check`. */
  explainRules({ sources, limits }: SourcesRequest): string {
    const checked = checkPolicy(sources, { runTests: false, limits });
    return JSON.stringify(rulesReport(checked, sources, polarLimits(limits)));
  },

  /** Returns the report as JSON, like `check`. */
  model({ sources, limits }: SourcesRequest): string {
    return JSON.stringify(modelReport(checkPolicy(sources, { runTests: false, limits }), sources));
  },

  approve({ limits, storePath, ...policy }: UploadedPolicy & StoreRequest): PolicyApproval {
    return approvePolicy(policy, limits, (body) => inTransaction(storePath, body));
  },

  /** Returns the explanation as JSON. */
  explain({ question, bindings, limits, storePath }: StoreRequest & ExplainQuestion): string {
    const clock = Math.floor(Date.now() / 1000);
    return JSON.stringify(
      inTransaction(storePath, (store) => explainQuestion(store, { question, bindings }, { limits, clock })),
    );
  },

  /** Explains a decision on the stored facts under a policy that is not stored. Returns JSON, like `check`. */
  questionUnder({ sources, question, limits, storePath }: DraftQuestion & StoreRequest): string {
    const clock = Math.floor(Date.now() / 1000);
    const { active, diagnostics } = checkPolicy(sources, { runTests: false, limits });
    const draft = active && { ...active, sources };
    const explanation =
      draft === undefined
        ? null
        : inTransaction(storePath, (store) => explainDecision(store, question, { limits, clock, draft }));
    const problems = diagnostics.map((found) => diagnosticToJson(found, sources));
    return JSON.stringify({ success: draft !== undefined, problems, explanation });
  },

  /** Opens the engine in advance, so that the next question waits only for its answer. */
  openEngine(store: StoreRequest): void {
    engineOver(store).warmUpPolicy();
  },

  answer(request: AnswerRequest<QuestionKind>): NotedAnswer {
    return withinMemory(request.limits, () => {
      const engine = engineOver(request);
      const question = questionOf(request);
      const answer = askEngine(engine, request.kind, question);
      const parsed = "bindings" in question ? engine.local.parsedBindings(question.bindings) : undefined;
      const note = noteOf(engine, request.kind, question, answer);
      if (!hasIds(answer) || bytesOf(answer.ids) <= answerPieceBytes) return { answer, note, parsed };
      longIds = answer.ids;
      const size = { count: longIds.ends.length, bytes: bytesOf(longIds) };
      return { answer: { ...answer, ids: packStrings([]) }, note, parsed, longIds: size };
    });
  },

  /** The next bytes of the last answer's ids. */
  idsPiece(start: number): Uint8Array {
    const ids = must(longIds, "the answer has long ids");
    const piece = pieceOf(ids, start, answerPieceBytes);
    if (start + piece.length === bytesOf(ids)) longIds = undefined;
    return piece;
  },

  /** Returns the first part of the answer as JSON; `nextPart` returns the others. */
  answerParts(request: PartsRequest): AnswerPart {
    answerLimits = request.limits;
    return withinMemory(request.limits, () => {
      const engine = engineOver(request);
      const question = questionOf(request);
      const items = itemsOf(engine, request.kind, question);
      answerPieces = listPieces(items, request.key);
      const note = Array.isArray(items) ? noteOf(engine, request.kind, question, items) : {};
      return { ...takePart(answerPieces), note };
    });
  },

  nextPart(): AnswerPart {
    return withinMemory(answerLimits, () => takePart(must(answerPieces, "an answer was begun")));
  },

  /** The next job may be of another environment: nothing of the last one remains. */
  forget(): void {
    answerPieces = undefined;
    longIds = undefined;
    closeEngine();
  },
};

/** The report, with a warning about facts that the policy would not use, and these facts. */
function checkedPolicy({ sources, storePath, ...options }: CheckRequest) {
  const checked = checkPolicy(sources, options);
  const report = policyReport(checked, sources, options);
  const { active } = checked;
  const unused: readonly FactCount[] = active ? inTransaction(storePath, (store) => unusedFacts(store, active)) : [];
  const message = unusedFactsWarning(unused);
  if (message === undefined) return { report, unused };
  const span = { file: sources[0]?.name ?? "", start: 0, end: 0 };
  const warning = diagnosticToJson({ code: "fact/orphaned", severity: "warning", message, span }, sources);
  return { report: { ...report, problems: [...report.problems, warning] }, unused };
}

/** The answer that is currently sent in parts. */
let answerPieces: Iterator<string> | undefined;
let answerLimits = defaultLimits;
/** The ids that the last answer lacks. */
let longIds: PackedStrings | undefined;

function hasIds(answer: Questions[QuestionKind]["answer"]): answer is Listing {
  return typeof answer === "object" && answer !== null && "ids" in answer;
}

/** Facts are read from the store while they are sent; other answers must be complete before they can be sorted. */
function itemsOf(
  engine: Engine,
  kind: ListAnswerKind,
  question: Questions[ListAnswerKind]["question"],
): Iterable<unknown> {
  if (kind === "facts") return engine.eachFact(question as FactPattern);
  return askEngine<ListAnswerKind>(engine, kind, question);
}

function noteOf(
  engine: Engine,
  kind: QuestionKind,
  question: Questions[typeof kind]["question"],
  answer: Questions[typeof kind]["answer"],
): AnswerNote {
  if (kind === "facts" || kind === "suggestions" || kind === "metadata" || kind === "bindingsCheck") return {};
  const decided = answer as Questions[DecisionKind]["answer"];
  return {
    version: engine.answered,
    result: listResultOf(kind, decided),
    unknown: engine.unknownNames<QuestionKind>(kind, question, answer),
  };
}

function questionOf<Kind extends QuestionKind>({ kind, question }: AnswerRequest<Kind>): Questions[Kind]["question"] {
  return typeof question === "string" ? questionFromJson(kind, question) : question;
}

function withinMemory<T>({ queryMemoryBytesMax }: Limits, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "SQLITE_NOMEM") throw error;
    const message = `answering takes more than ${formatBytes(queryMemoryBytesMax)} of memory: ask for less, or for one value`;
    throw new AppError("query_too_expensive", message);
  }
}

serveWorker(commands, () => {});

/** The engine of the last question, which mostly answers the next one too. */
let current: { readonly engine: Engine; readonly storePath: string } | undefined;

function engineOver({ storePath, limits }: StoreRequest): Engine {
  if (current?.storePath === storePath) return current.engine;
  closeEngine();
  const store = openReadOnly(storePath);
  // The limit applies to the whole process, which has no other work at the same time.
  store.exec(`PRAGMA hard_heap_limit = ${limits.queryMemoryBytesMax}`);
  const engine = new Engine(store, { limits: { ...limits, decisionCacheEntriesMax: 0 } });
  current = { engine, storePath };
  return engine;
}

function closeEngine(): void {
  const closed = current;
  current = undefined;
  closed?.engine.close();
}

/** Runs `body` in one transaction, so that it reads one state. */
function inTransaction<T>(storePath: string, body: (store: Connection) => T): T {
  const store = openReadOnly(storePath);
  try {
    return store.transaction(() => body(store));
  } finally {
    store.close();
  }
}

/** The database may be replaced, and its file deleted, between the request and now. */
function openReadOnly(storePath: string): Connection {
  try {
    return openStore(storePath, { readonly: true });
  } catch (error) {
    throw new AppError("not_ready", "the database was just replaced, try again", { cause: error });
  }
}
