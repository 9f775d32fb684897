/**
 * The approval of an uploaded policy, which happens before its activation: the check takes as long as the policy's
 * tests, and the writer must not wait for it. An approval of a text stays valid whatever else is written. Only the
 * warning about unused facts depends on the policy that is replaced, so the approval names that policy.
 */
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { readState } from "../../store/log/store-state.ts";
import { activationOf } from "../policy/activation.ts";
import { describeUnusedFacts, findUnusedFacts } from "../policy/unused-facts.ts";
import { acceptPolicy } from "./accept-policy.ts";

export interface UploadedPolicy {
  readonly source: string;
  readonly filename: string | null;
  readonly runTests: boolean;
}

export interface PolicyApproval {
  /** The id of the policy that was active during the check; 0 for none. */
  readonly replaces: number;
  /** The warnings about the accepted policy, as one sentence. */
  readonly warning?: string;
}

/** The approval of a policy that was not checked. */
export const noApproval: PolicyApproval = { replaces: -1 };

/**
 * `reading` runs a function in one read transaction on the store, after the expensive part. Throws `invalid_policy` if
 * the policy is refused.
 */
export function approvePolicy(
  { source, filename, runTests }: UploadedPolicy,
  limits: Limits,
  reading: (body: (store: Connection) => PolicyApproval) => PolicyApproval,
): PolicyApproval {
  const sources = [{ name: filename || "policy.polar", text: source }];
  const { active, warning } = acceptPolicy(sources, { runTests, limits });
  return reading((store) => {
    const unused = findUnusedFacts(store, activationOf(store)?.active, active);
    const notes = [
      ...(warning === undefined ? [] : [warning]),
      ...(unused.length > 0 ? [describeUnusedFacts(unused)] : []),
    ];
    return { replaces: readState(store).policyId, ...(notes.length > 0 ? { warning: notes.join("; ") } : {}) };
  });
}
