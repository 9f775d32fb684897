/** Explanations of decisions, in worker processes. */
import type { Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/units.ts";
import { checkFact } from "../../policy/fact-check.ts";
import type { ExplainQuestion } from "../request/questions.ts";
import { HostedProcesses } from "./hosted-processes.ts";
import { WorkerQueue } from "./worker-queue.ts";

const hosted = new HostedProcesses();

/** The result returns the explanation as JSON, and throws as `Engine.authorize` and `WorkerQueue.run` do. */
export function explainDecisions(limits: Limits) {
  const { explanationsWaitingMax, explanationTimeMsMax, queryTimeMsMax, queryMemoryBytesMax } = limits;
  // The decision has the time of any question. An explanation stops in time, except for the last question that it asks.
  const timeMsMax = queryTimeMsMax + 2 * explanationTimeMsMax;
  const queue = new WorkerQueue({
    hosted,
    waitingMax: explanationsWaitingMax,
    // While an explanation for one API key runs, another key need not wait for it.
    runningMax: 2,
    timeMsMax,
    memoryBytesMax: queryMemoryBytesMax,
    description: "explanations",
    timeoutMessage: `deciding and explaining take longer than ${timeMsMax} ms`,
    memoryMessage: `deciding and explaining take more than ${formatBytes(queryMemoryBytesMax)} of memory`,
  });
  return async (asked: ExplainQuestion, storePath: string, holder: string): Promise<string> => {
    const { contextFacts, actor } = asked.question;
    for (const fact of contextFacts) checkFact(fact, limits, [actor]);
    return queue.run(holder, (worker) => worker.call("explain", { ...asked, storePath, limits }));
  };
}
