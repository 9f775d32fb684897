/**
 * The query dispatcher of a node: the engine on the serving thread answers a question if admission control allows it,
 * and otherwise an engine in a worker process, which is killed at its deadline. The serving thread never waits for it.
 */
import type { Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/units.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordRows, withSpan } from "../../telemetry/tracing.ts";
import { askEngine, type Engine } from "../engine.ts";
import { OffloadRequired } from "../query/offload-required.ts";
import { listResultOf } from "../request/list-result.ts";
import { fromPieces } from "../request/packed-strings.ts";
import {
  type AnswerNote,
  type DecisionKind,
  type ListAnswerKind,
  type Listing,
  type QuestionKind,
  type Questions,
  SerializedQuestion,
} from "../request/questions.ts";
import type { AnswerParts } from "./answer-parts.ts";
import type { NotedAnswer, StoreRequest } from "./engine-worker.ts";
import { HostedProcesses } from "./hosted-processes.ts";
import { type WorkerPort, WorkerQueue } from "./worker-queue.ts";

const hosted = new HostedProcesses();

/** A list, or an object with the list under `Key`. */
type ListAnswer<Kind extends ListAnswerKind, Key extends string | undefined> = Key extends string
  ? Readonly<Record<Key, Questions[Kind]["answer"]>>
  : Questions[Kind]["answer"];
export class QueryDispatcher {
  readonly #engine: () => Engine;
  readonly #limits: Limits;
  readonly #queue: WorkerQueue;

  /** `engine` returns the current engine, or throws `not_ready`. */
  constructor(engine: () => Engine, limits: Limits) {
    this.#engine = engine;
    this.#limits = limits;
    const { queryTimeMsMax, queryMemoryBytesMax } = limits;
    this.#queue = new WorkerQueue({
      hosted,
      waitingMax: limits.offloadedQueriesMax,
      timeMsMax: queryTimeMsMax,
      slow: { afterMs: limits.slowQueryAfterMs, max: limits.slowQueriesMax },
      memoryBytesMax: queryMemoryBytesMax,
      parts: { max: limits.largeResponsesMax, timeMsMax: limits.largeResponseTimeMsMax },
      description: "questions that take long",
      timeoutMessage: `answering takes longer than ${queryTimeMsMax} ms: ask for less, or for one value`,
      memoryMessage: `answering takes more than ${formatBytes(queryMemoryBytesMax)} of memory: ask for less, or for one value`,
    });
  }

  /** As `Engine.cachedDecision`. The note is complete if there is a decision. */
  cachedDecision(text: string, note: AnswerNote): boolean | undefined {
    return cachedDecisionOf(this.#engine(), text, note);
  }

  /**
   * Returns a promise only for an offloaded question: most answers are ready at once, and awaiting a promise costs
   * time. Throws or rejects as the engine's method of that name does, with `query_too_expensive` at the limits, and
   * with `too_many_requests` if too many questions are offloaded. `holder` is the API key of the client. With a
   * `note`, the question is a decision, and the note is complete when the answer is there.
   */
  ask<Kind extends QuestionKind>(
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    holder: string,
    note?: AnswerNote,
  ): Questions[Kind]["answer"] | Promise<Questions[Kind]["answer"]> {
    const engine = this.#engine();
    const answer = answerOnServingThread(engine, kind, question, note);
    return answer === undefined ? this.#offload(engine, kind, textOf(question), holder, note) : answer;
  }

  /**
   * As `ask`, for lists: returns the object that is sent as JSON, with the list under `key` if one is given, or the
   * parts of that JSON, which the caller has to read or close.
   */
  async askList<Kind extends ListAnswerKind, Key extends string | undefined = undefined>(
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    { holder, key, note }: { readonly holder: string; readonly key?: Key; readonly note?: AnswerNote | undefined },
  ): Promise<ListAnswer<Kind, Key> | AnswerParts> {
    const engine = this.#engine();
    const answer = answerOnServingThread(engine, kind, question, note);
    if (answer !== undefined) return (key === undefined ? answer : { [key]: answer }) as ListAnswer<Kind, Key>;
    metrics.offloadedQueries.inc({ kind });
    const store = this.#storeOf(engine);
    const request = { kind, question: textOf(question), key, ...store };
    return withSpan("offloaded query", {}, () =>
      this.#queue.runParts(
        holder,
        async (worker) => {
          const first = await worker.call("answerParts", request);
          if (note !== undefined) Object.assign(note, first.note);
          return first;
        },
        (worker) => worker.call("openEngine", store),
        // Only small lists of facts are answered on the serving thread.
        kind === "facts",
      ),
    );
  }

  async #offload<Kind extends QuestionKind>(
    engine: Engine,
    kind: Kind,
    question: Questions[Kind]["question"] | string,
    holder: string,
    note: AnswerNote | undefined,
  ): Promise<Questions[Kind]["answer"]> {
    metrics.offloadedQueries.inc({ kind });
    const store = this.#storeOf(engine);
    return withSpan("offloaded query", {}, async (span) => {
      const {
        answer,
        note: noted,
        parsed,
      } = (await this.#queue.run(
        holder,
        async (worker) => withIds(await worker.call("answer", { kind, question, ...store }), worker),
        (worker) => worker.call("openEngine", store),
      )) as NotedAnswer<Kind>;
      if (note !== undefined) Object.assign(note, noted);
      if (parsed !== undefined) engine.local.addParsedBindings(parsed);
      if (Array.isArray(answer)) recordRows(span, answer.length);
      return answer;
    });
  }

  #storeOf({ path }: Engine): StoreRequest {
    return { limits: this.#limits, storePath: path };
  }
}

/** Fetches the ids that the answer lacks. */
async function withIds(noted: NotedAnswer, worker: WorkerPort): Promise<NotedAnswer> {
  const { longIds, answer } = noted;
  if (longIds === undefined) return noted;
  const ids = await fromPieces(longIds, (start) => worker.call("idsPiece", start));
  return { ...noted, answer: { ...(answer as Listing), ids } };
}

/** As `QueryDispatcher.cachedDecision`. */
export function cachedDecisionOf(engine: Engine, text: string, note: AnswerNote): boolean | undefined {
  const decision = engine.cachedDecision(text);
  if (decision === undefined) return undefined;
  note.version = engine.answered;
  note.unknown = engine.unknown;
  return decision;
}

/** Completes the note of a decision. */
function noteAnswer<Kind extends QuestionKind>(
  engine: Engine,
  kind: Kind,
  question: Questions[Kind]["question"],
  answer: Questions[Kind]["answer"],
  note: AnswerNote,
): void {
  note.unknown = engine.unknownNames(kind, question, answer);
  note.version = engine.answered;
  if (typeof answer === "boolean") return;
  note.result = listResultOf(kind as DecisionKind, answer as Questions[DecisionKind]["answer"]);
}

/** Undefined if the question has to be offloaded. */
export function answerOnServingThread<Kind extends QuestionKind>(
  engine: Engine,
  kind: Kind,
  question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
  note: AnswerNote | undefined,
): Questions[Kind]["answer"] | undefined {
  if (question instanceof SerializedQuestion) return undefined;
  try {
    const answer = askEngine(engine, kind, question);
    if (note !== undefined) noteAnswer(engine, kind, question, answer, note);
    return answer;
  } catch (error) {
    if (error instanceof OffloadRequired) return undefined;
    throw error;
  }
}

/** The question as a worker gets it: a serialized one as its JSON. */
export function textOf<Kind extends QuestionKind>(
  question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
): Questions[Kind]["question"] | string {
  return question instanceof SerializedQuestion ? question.json : question;
}
