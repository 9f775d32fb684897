/** Explanations of decisions, aside from the thread that answers questions. */
import type { Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/setting-types.ts";
import { WorkerQueue } from "./worker-queue.ts";
import { checkFact } from "../request/fact-check.ts";
import type { AuthorizeQuestion } from "../request/questions.ts";

/** One key has one at work, and another key need not wait for it. */
const explanationsAtWorkMax = 2;

export class Explanations {
  readonly #limits: Limits;
  readonly #lane: WorkerQueue;

  constructor(limits: Limits) {
    this.#limits = limits;
    const { explanationsWaitingMax, explanationTimeMsMax, queryTimeMsMax, queryMemoryBytesMax } = limits;
    this.#lane = new WorkerQueue({
      waitingMax: explanationsWaitingMax,
      atWorkMax: explanationsAtWorkMax,
      // The decision has the time of any question. An explanation ends by itself in time, but for a last question that it asks.
      timeMsMax: queryTimeMsMax + 2 * explanationTimeMsMax,
      memoryBytesMax: queryMemoryBytesMax,
      description: "explanations",
      timeoutMessage: `deciding and explaining take longer than ${queryTimeMsMax + 2 * explanationTimeMsMax} ms`,
      memoryMessage: `deciding and explaining take more than ${formatBytes(queryMemoryBytesMax)} of memory`,
    });
  }

  /** As JSON, of the decision about the facts and the policy in the file at `storePath`. Throws as `Engine.authorize` does, and as the lane does. */
  async explain(question: AuthorizeQuestion, storePath: string, holder: string): Promise<string> {
    for (const fact of question.contextFacts) checkFact(fact, this.#limits);
    return this.#lane.run(holder, (worker) => worker.call("explain", { question, storePath, limits: this.#limits }));
  }
}
