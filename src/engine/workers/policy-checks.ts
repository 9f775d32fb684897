/**
 * Checks of policies in worker processes: of those that are only asked about, and of those that are to become active. Each kind has a queue of its
 * own, so that keys that may only read hold up no upload.
 */
import type { Limits } from "../../config/limits.ts";
import { formatBytes } from "../../config/setting-types.ts";
import { WorkerQueue, type WorkerQueueOptions } from "./worker-queue.ts";
import type { CheckRequest } from "./engine-worker.ts";
import { WorkerPool } from "./worker-pool.ts";
import type { PolicyApproval, UploadedPolicy } from "../validation/policy-approval.ts";

export class PolicyChecks {
  readonly #limits: Limits;
  readonly #lane: WorkerQueue;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#lane = new WorkerQueue(laneOptions(limits));
  }

  /** The report (`policy-report.ts`) as JSON. Stores nothing. Throws `too_many_requests` where too many wait, `query_too_expensive` where it takes too much time or memory. */
  check(request: Omit<CheckRequest, "limits">, holder: string): Promise<string> {
    return this.#lane.run(holder, (worker) => worker.call("check", { ...request, limits: this.#limits }));
  }
}

/** Throws `invalid_policy` where the policy is refused, otherwise as `PolicyChecks.check` does. `holder` is the API key that sent it. */
export type ApprovePolicy = (
  request: UploadedPolicy & { readonly storePath: string },
  holder: string,
) => Promise<PolicyApproval>;

export function approvePolicies(limits: Limits): ApprovePolicy {
  // Who uploads must learn in time whether the policy was taken: an edge waits for its primary no longer than for this and the check.
  const options = { ...laneOptions(limits), cells: uploadCells, waitMsMax: limits.policyCheckTimeMsMax };
  // Tests that take too long end by themselves, and then the answer says which ones: for that there is time left.
  const lane = new WorkerQueue({ ...options, timeMsMax: 1.5 * limits.policyCheckTimeMsMax });
  return (upload, holder) => lane.run(holder, (worker) => worker.call("approve", { ...upload, limits }));
}

/** Of all primaries of this process: an upload needs no process of its own. */
const uploadCells = new WorkerPool();

function laneOptions(limits: Limits): WorkerQueueOptions {
  const { policyChecksWaitingMax, policyChecksAtWorkMax, policyCheckTimeMsMax, policyCheckMemoryBytesMax } = limits;
  return {
    waitingMax: policyChecksWaitingMax,
    atWorkMax: policyChecksAtWorkMax,
    timeMsMax: policyCheckTimeMsMax,
    memoryBytesMax: policyCheckMemoryBytesMax,
    description: "checks of policies",
    timeoutMessage: `checking the policy takes longer than ${policyCheckTimeMsMax} ms`,
    memoryMessage: `checking the policy takes more than ${formatBytes(policyCheckMemoryBytesMax)} of memory`,
  };
}
