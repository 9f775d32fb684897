/**
 * Checks of policies that somebody is only asking about, aside from the thread that answers questions. One at a time: a node is there to answer,
 * and whoever may read must not be able to take its processors. A check that goes on too long is ended.
 */
import type { Limits } from "../config/limits.ts";
import { spawnWorker } from "../runtime/worker.ts";
import { AppError } from "../util/app-error.ts";
import type { CheckRequest, PolicyCheckCommands } from "./policy-check-worker.ts";
import type { PolicyReport } from "./policy-report.ts";

export class PolicyChecks {
  readonly #limits: Limits;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Stores nothing. Throws `too_many_requests` where too many wait, `query_too_expensive` where it takes too long. */
  async check(request: Omit<CheckRequest, "limits">): Promise<PolicyReport> {
    if (this.#waiting >= this.#limits.policyChecksWaitingMax)
      throw new AppError("too_many_requests", "too many policies are being checked, try again");
    this.#waiting += 1;
    const turn = this.#last.then(() => this.#run({ ...request, limits: this.#limits }));
    this.#last = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #run(request: CheckRequest): Promise<PolicyReport> {
    const worker = spawnWorker<PolicyCheckCommands>("policy-check");
    const timer = setTimeout(() => {
      worker.terminate(
        new AppError(
          "query_too_expensive",
          `checking the policy takes longer than ${this.#limits.policyCheckTimeMsMax} ms`,
        ),
      );
    }, this.#limits.policyCheckTimeMsMax);
    try {
      return await worker.call("check", request);
    } finally {
      clearTimeout(timer);
      worker.terminate(new AppError("not_ready", "the check is over"));
    }
  }
}
