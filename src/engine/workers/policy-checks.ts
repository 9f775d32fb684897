/**
 * Policy checks in worker processes. Requests that only check a policy and uploads have a queue each, so that API keys
 * that may only read cannot delay an upload.
 */
import type { Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/units.ts";
import type { ApprovePolicy } from "../../log/append/policy-approval.ts";
import type { Source } from "../../polar/source.ts";
import { checkFact } from "../../policy/fact-check.ts";
import type { CheckedEffect, CheckRequest, DraftQuestion, SourcesRequest, StoreRequest } from "./engine-worker.ts";
import { HostedProcesses } from "./hosted-processes.ts";
import { WorkerPool } from "./worker-pool.ts";
import { WorkerQueue, type WorkerQueueOptions } from "./worker-queue.ts";

const hostedChecks = new HostedProcesses();
const hostedUploads = new HostedProcesses();

type Unlimited<Request> = Omit<Request, "limits">;

/** Work on a policy that is not stored. The results are JSON (`policy-report.ts`). Each throws as `WorkerQueue.run`. */
export interface PolicyChecks {
  check(request: Unlimited<CheckRequest>, holder: string): Promise<string>;
  effect(request: Unlimited<StoreRequest & SourcesRequest>, holder: string): Promise<CheckedEffect>;
  question(request: Unlimited<StoreRequest & DraftQuestion>, holder: string): Promise<string>;
  format(sources: readonly Source[], holder: string): Promise<string>;
  explainRules(sources: readonly Source[], holder: string): Promise<string>;
  model(sources: readonly Source[], holder: string): Promise<string>;
}

export function policyChecks(limits: Limits): PolicyChecks {
  const queue = new WorkerQueue(queueOptions(limits, hostedChecks));
  return {
    check: (request, holder) => queue.run(holder, (worker) => worker.call("check", { ...request, limits })),
    effect: (request, holder) => queue.run(holder, (worker) => worker.call("effect", { ...request, limits })),
    question: async (request, holder) => {
      const { contextFacts, actor } = request.question;
      for (const fact of contextFacts) checkFact(fact, limits, [actor]);
      return queue.run(holder, (worker) => worker.call("questionUnder", { ...request, limits }));
    },
    format: (sources, holder) => queue.run(holder, (worker) => worker.call("format", { sources, limits })),
    model: (sources, holder) => queue.run(holder, (worker) => worker.call("model", { sources, limits })),
    explainRules: (sources, holder) => queue.run(holder, (worker) => worker.call("explainRules", { sources, limits })),
  };
}

export function approvePolicies(limits: Limits): ApprovePolicy {
  // An upload must be answered in time: an edge waits for its primary only for the wait and the check together.
  const shared = { pool: uploadWorkers, waitMsMax: limits.policyCheckTimeMsMax };
  // Tests that take too long stop by themselves, and the response names them: the deadline leaves time for that.
  const timeMsMax = 1.5 * limits.policyCheckTimeMsMax;
  const queue = new WorkerQueue({ ...queueOptions(limits, hostedUploads), ...shared, timeMsMax });
  return (upload, holder) => queue.run(holder, (worker) => worker.call("approve", { ...upload, limits }));
}

/** Shared by all primaries of this process, so that not every upload starts a process. */
const uploadWorkers = new WorkerPool();

function queueOptions(limits: Limits, hosted: HostedProcesses): WorkerQueueOptions {
  const { policyChecksWaitingMax, policyChecksAtWorkMax, policyCheckTimeMsMax, policyCheckMemoryBytesMax } = limits;
  return {
    hosted,
    waitingMax: policyChecksWaitingMax,
    runningMax: policyChecksAtWorkMax,
    timeMsMax: policyCheckTimeMsMax,
    memoryBytesMax: policyCheckMemoryBytesMax,
    description: "checks of policies",
    timeoutMessage: `checking the policy takes longer than ${policyCheckTimeMsMax} ms`,
    busyMessage: "this machine is too busy to check the policy in time, try again",
    memoryMessage: `checking the policy takes more than ${formatBytes(policyCheckMemoryBytesMax)} of memory`,
  };
}
