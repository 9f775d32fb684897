/** Explanations of decisions, in worker processes. */
import type { Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/setting-types.ts";
import { checkFact } from "../request/fact-check.ts";
import type { AuthorizeQuestion } from "../request/questions.ts";
import { WorkerQueue } from "./worker-queue.ts";

/** While an explanation for one API key runs, another key need not wait for it. */
const explanationsRunningMax = 2;

export class Explanations {
  readonly #limits: Limits;
  readonly #queue: WorkerQueue;

  constructor(limits: Limits) {
    this.#limits = limits;
    const { explanationsWaitingMax, explanationTimeMsMax, queryTimeMsMax, queryMemoryBytesMax } = limits;
    this.#queue = new WorkerQueue({
      waitingMax: explanationsWaitingMax,
      runningMax: explanationsRunningMax,
      // The decision has the time of any question. An explanation stops by itself in time, except for the last question
      // that it asks.
      timeMsMax: queryTimeMsMax + 2 * explanationTimeMsMax,
      memoryBytesMax: queryMemoryBytesMax,
      description: "explanations",
      timeoutMessage: `deciding and explaining take longer than ${queryTimeMsMax + 2 * explanationTimeMsMax} ms`,
      memoryMessage: `deciding and explaining take more than ${formatBytes(queryMemoryBytesMax)} of memory`,
    });
  }

  /**
   * Returns the explanation as JSON, for the facts and the policy in the file at `storePath`. Throws as
   * `Engine.authorize` and `WorkerQueue.run` do.
   */
  async explain(question: AuthorizeQuestion, storePath: string, holder: string): Promise<string> {
    for (const fact of question.contextFacts) checkFact(fact, this.#limits);
    return this.#queue.run(holder, (worker) => worker.call("explain", { question, storePath, limits: this.#limits }));
  }
}
