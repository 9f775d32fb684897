/** What may take seconds, in a process that can be ended: questions, explanations of decisions, checks of policies. */
import { defaultLimits, type Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/setting-types.ts";
import { diagnosticToJson } from "../../polar/render.ts";
import type { Source } from "../../polar/source.ts";
import { serveWorker } from "../../runtime/worker.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { openStore } from "../../store/connection/open-store.ts";
import type { FactPattern } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { activationOf } from "../policy/activation.ts";
import { listPieces, takePart, type AnswerPart } from "./answer-parts.ts";
import { packListing, type PackedListing } from "../query/result-sets.ts";
import { questionFromJson } from "../request/question-json.ts";
import { askEngine, Engine } from "../engine.ts";
import { explainDecision } from "../explain/decision.ts";
import { describeUnusedFacts, findUnusedFacts } from "../policy/unused-facts.ts";
import { approvePolicy, type PolicyApproval, type UploadedPolicy } from "../validation/policy-approval.ts";
import { checkPolicy } from "../validation/policy-check.ts";
import { policyReport } from "../validation/policy-report.ts";
import type {
  AuthorizeQuestion,
  ListAnswerKind,
  ListingQuestion,
  QuestionKind,
  Questions,
} from "../request/questions.ts";

export interface CheckRequest {
  readonly sources: readonly Source[];
  readonly runTests: boolean;
  readonly coverage: boolean;
  readonly limits: Limits;
  /** The file with the facts that the policy would meet. */
  readonly storePath: string;
}

export interface ApproveRequest extends UploadedPolicy {
  readonly limits: Limits;
  readonly storePath: string;
}

export interface ExplainRequest {
  readonly question: AuthorizeQuestion;
  readonly limits: Limits;
  readonly storePath: string;
}

export interface AnswerRequest {
  readonly kind: QuestionKind;
  /** A string is the question as JSON. */
  readonly question: Questions[QuestionKind]["question"] | string;
  readonly limits: Limits;
  readonly storePath: string;
}

export interface ListingRequest extends Pick<AnswerRequest, "limits" | "storePath"> {
  readonly question: ListingQuestion;
}

export interface PartsRequest extends Pick<AnswerRequest, "limits" | "storePath"> {
  readonly kind: ListAnswerKind;
  readonly question: Questions[ListAnswerKind]["question"] | string;
  /** Of the list in the answer; without one the list is the answer. */
  readonly key: string | undefined;
}

export type WorkerCommands = typeof commands;

const commands = {
  /** The report as JSON, which nobody on the way to the client has to read. */
  check({ sources, storePath, ...options }: CheckRequest): string {
    const checked = checkPolicy(sources, options);
    const report = policyReport(checked, sources, options);
    const { active } = checked;
    const orphans = active ? reading(storePath, (store) => orphansIn(store, active)) : [];
    if (orphans.length === 0) return JSON.stringify(report);
    const span = { file: sources[0]?.name ?? "", start: 0, end: 0 };
    const message = describeUnusedFacts(orphans);
    const warning = diagnosticToJson({ code: "fact/orphaned", severity: "warning", message, span }, sources);
    return JSON.stringify({ ...report, problems: [...report.problems, warning] });
  },

  approve({ limits, storePath, ...policy }: ApproveRequest): PolicyApproval {
    return approvePolicy(policy, limits, (body) => reading(storePath, body));
  },

  /** The explanation as JSON. */
  explain({ question, limits, storePath }: ExplainRequest): string {
    const clock = Math.floor(Date.now() / 1000);
    return JSON.stringify(reading(storePath, (store) => explainDecision(store, question, { limits, clock })));
  },

  /** Makes the next question wait for nothing but its answer. */
  openEngine({ limits, storePath }: Pick<AnswerRequest, "limits" | "storePath">): void {
    engineOver(storePath, limits).warmUpPolicy();
  },

  answer({ kind, question, limits, storePath }: AnswerRequest): Questions[QuestionKind]["answer"] {
    const asked = typeof question === "string" ? questionFromJson(kind, question) : question;
    return withinMemory(limits, () => askEngine(engineOver(storePath, limits), kind, asked));
  },

  listing({ question, limits, storePath }: ListingRequest): PackedListing {
    return withinMemory(limits, () => packListing(engineOver(storePath, limits).listing(question)));
  },

  /** The first part of the answer as JSON; the others come with `nextPart`. */
  answerParts(request: PartsRequest): AnswerPart {
    answerLimits = request.limits;
    return withinMemory(request.limits, () => {
      pieces = listPieces(itemsOf(request), request.key);
      return takePart(pieces);
    });
  },

  nextPart(): AnswerPart {
    return withinMemory(answerLimits, () => takePart(must(pieces, "an answer was begun")));
  },
};

/** The answer that is being given in parts. */
let pieces: Iterator<string> | undefined;
let answerLimits = defaultLimits;

/** Facts are read from the store as they are sent; other answers have to be whole before they are sorted. */
function itemsOf({ kind, question, limits, storePath }: PartsRequest): Iterable<unknown> {
  const engine = engineOver(storePath, limits);
  const asked = typeof question === "string" ? questionFromJson(kind, question) : question;
  return kind === "facts" ? engine.eachFact(asked as FactPattern) : askEngine<ListAnswerKind>(engine, kind, asked);
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

function orphansIn(store: Connection, active: ActivePolicy): ReturnType<typeof findUnusedFacts> {
  return findUnusedFacts(store, activationOf(store)?.active, active);
}

/** The engine of the last question, which is mostly that of the next one too. */
let present: { readonly engine: Engine; readonly storePath: string } | undefined;

function engineOver(storePath: string, limits: Limits): Engine {
  if (present?.storePath === storePath) return present.engine;
  present?.engine.close();
  present = undefined;
  const store = opened(storePath);
  // Of the whole process, which has no other work at the same time.
  store.exec(`PRAGMA hard_heap_limit = ${limits.queryMemoryBytesMax}`);
  const engine = new Engine(store, { limits: { ...limits, decisionCacheEntriesMax: 0 } });
  present = { engine, storePath };
  return engine;
}

/** In one transaction: whatever is read is of one state. */
function reading<T>(storePath: string, body: (store: Connection) => T): T {
  const store = opened(storePath);
  try {
    return store.transaction(() => body(store));
  } finally {
    store.close();
  }
}

/** A copy may be replaced, and its file be gone, between the request and now. */
function opened(storePath: string): Connection {
  try {
    return openStore(storePath, { readonly: true });
  } catch (error) {
    throw new AppError("not_ready", "the copy of the data was just replaced, try again", { cause: error });
  }
}
