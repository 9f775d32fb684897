/**
 * What a node answers with: its engine on the thread that serves, and for what that does not take, one in a process aside, which is ended at its
 * limit. Those who ask for what is answered at once never wait for the others.
 */
import type { Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/setting-types.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordRows, withSpan } from "../../telemetry/tracing.ts";
import type { WorkerHandle } from "../../runtime/worker.ts";
import type { AnswerParts } from "./answer-parts.ts";
import { WorkerQueue } from "./worker-queue.ts";
import type { AnswerRequest, WorkerCommands } from "./engine-worker.ts";
import { askEngine, type Engine } from "../engine.ts";
import { OffloadRequired } from "../query/offload-required.ts";
import { packListing, type PackedListing } from "../query/result-sets.ts";
import { SerializedQuestion } from "../request/question-json.ts";
import type { ListAnswerKind, ListingQuestion, QuestionKind, Questions } from "../request/questions.ts";

export class QueryDispatcher {
  readonly #engine: () => Engine;
  readonly #limits: Limits;
  readonly #lane: WorkerQueue;

  /** `engine` gives the present one, or throws `not_ready`. */
  constructor(engine: () => Engine, limits: Limits) {
    this.#engine = engine;
    this.#limits = limits;
    const { offloadedQueriesMax, queryTimeMsMax, queryMemoryBytesMax, slowQueriesMax, slowQueryAfterMs } = limits;
    const { largeResponsesMax, largeResponseTimeMsMax } = limits;
    this.#lane = new WorkerQueue({
      waitingMax: offloadedQueriesMax,
      timeMsMax: queryTimeMsMax,
      slow: { afterMs: slowQueryAfterMs, max: slowQueriesMax },
      memoryBytesMax: queryMemoryBytesMax,
      parts: { max: largeResponsesMax, timeMsMax: largeResponseTimeMsMax },
      description: "questions that take long",
      timeoutMessage: `answering takes longer than ${queryTimeMsMax} ms: ask for less, or for one value`,
      memoryMessage: `answering takes more than ${formatBytes(queryMemoryBytesMax)} of memory: ask for less, or for one value`,
    });
  }

  /** The decision on the question that came as `text`, where it is remembered and still stands. */
  cachedDecision(text: string): boolean | undefined {
    return this.#engine().cachedDecision(text);
  }

  /**
   * A promise for what is answered aside alone: most answers are here at once, and then nobody should have to wait for a promise. Throws, or rejects, as
   * the engine's method of that name does, `query_too_expensive` at the limits, `too_many_requests` where too many take long. `holder` is the API key
   * that asks.
   */
  ask<Kind extends QuestionKind>(
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    holder: string,
  ): Questions[Kind]["answer"] | Promise<Questions[Kind]["answer"]> {
    const engine = this.#engine();
    return (
      answerOnServingThread(engine, kind, question) ??
      this.#askAside(engine, kind, holder, (cell, store) =>
        cell.call("answer", { kind, question: textOf(question), ...store }),
      )
    );
  }

  /**
   * The same for answers that are lists: as what is sent as JSON, with the list under `key` where one is given, or as parts of that JSON. Parts have to
   * be read or closed.
   */
  async askList<Kind extends ListAnswerKind>(
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    { holder, key }: { readonly holder: string; readonly key?: string },
  ): Promise<object | AnswerParts> {
    const engine = this.#engine();
    const answer = answerOnServingThread(engine, kind, question);
    if (answer !== undefined) return key === undefined ? answer : { [key]: answer };
    metrics.offloadedQueries.inc({ kind });
    const store = this.#storeOf(engine);
    const request = { kind, question: textOf(question), key, ...store };
    return withSpan("query aside", {}, () =>
      this.#lane.runParts(
        holder,
        (cell) => cell.call("answerParts", request),
        (cell) => cell.call("openEngine", store),
        // Few facts are answered in place.
        kind === "facts",
      ),
    );
  }

  /** The same for a list that is given in pages. */
  async listing(question: ListingQuestion, holder: string): Promise<PackedListing> {
    const engine = this.#engine();
    const listing = answerOnServingThread(engine, "listing", question);
    if (listing !== undefined) return packListing(listing);
    return this.#askAside(engine, "listing", holder, (cell, store) => cell.call("listing", { question, ...store }));
  }

  async #askAside<T>(
    engine: Engine,
    kind: QuestionKind,
    holder: string,
    ask: (cell: WorkerHandle<WorkerCommands, never>, store: Store) => Promise<unknown>,
  ): Promise<T> {
    metrics.offloadedQueries.inc({ kind });
    const store = this.#storeOf(engine);
    const answer = await withSpan("query aside", {}, async (span) => {
      const answered = await this.#lane.run(
        holder,
        (cell) => ask(cell, store),
        (cell) => cell.call("openEngine", store),
      );
      if (Array.isArray(answered)) recordRows(span, answered.length);
      return answered;
    });
    return answer as T;
  }

  #storeOf({ path }: Engine): Store {
    return { limits: this.#limits, storePath: path };
  }
}

type Store = Pick<AnswerRequest, "limits" | "storePath">;

/** Undefined where the question is for a worker process. */
function answerOnServingThread<Kind extends QuestionKind>(
  engine: Engine,
  kind: Kind,
  question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
): Questions[Kind]["answer"] | undefined {
  if (question instanceof SerializedQuestion) return undefined;
  try {
    return askEngine(engine, kind, question);
  } catch (error) {
    if (error instanceof OffloadRequired) return undefined;
    throw error;
  }
}

function textOf<Kind extends QuestionKind>(
  question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
): Questions[Kind]["question"] | string {
  return question instanceof SerializedQuestion ? question.json : question;
}
