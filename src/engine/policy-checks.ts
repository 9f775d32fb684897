/** Checks of policies that somebody is only asking about, aside from the thread that answers questions. */
import type { Limits } from "../config/limits.ts";
import { AsideLane } from "./aside-lane.ts";
import type { CheckRequest } from "./aside-worker.ts";
import type { PolicyReport } from "./policy-report.ts";

export class PolicyChecks {
  readonly #limits: Limits;
  readonly #lane: AsideLane;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#lane = new AsideLane({
      waitingMax: limits.policyChecksWaitingMax,
      timeMsMax: limits.policyCheckTimeMsMax,
      full: "too many policies are being checked, try again",
      late: `checking the policy takes longer than ${limits.policyCheckTimeMsMax} ms`,
    });
  }

  /** Stores nothing. Throws `too_many_requests` where too many wait, `query_too_expensive` where it takes too long. */
  check(request: Omit<CheckRequest, "limits">): Promise<PolicyReport> {
    return this.#lane.run((worker) => worker.call("check", { ...request, limits: this.#limits }));
  }
}
