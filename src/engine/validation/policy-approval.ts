/**
 * The verdict on an uploaded policy, apart from its activation: the check may take as long as a policy's tests may, and the writer must not wait
 * for it. A verdict on a text holds for this text whatever else is written; only the warning about unused facts depends on the policy that is
 * replaced, and so the verdict names that one.
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
  /** The number of the policy that was active when the check looked; 0 for none. */
  readonly replaces: number;
  /** What there is to say of the policy although it is taken, as a sentence. */
  readonly warning?: string;
}

/** Stands for a check that has not been made. */
export const noApproval: PolicyApproval = { replaces: -1 };

/** `reading` runs a function in one transaction on the store, after the expensive part. Throws `invalid_policy` where the policy is refused. */
export function approvePolicy(
  { source, filename, runTests }: UploadedPolicy,
  limits: Limits,
  reading: (body: (store: Connection) => PolicyApproval) => PolicyApproval,
): PolicyApproval {
  const sources = [{ name: filename || "policy.polar", text: source }];
  const { active, warning } = acceptPolicy(sources, { runTests, limits });
  return reading((store) => {
    const orphans = findUnusedFacts(store, activationOf(store)?.active, active);
    const notes = [
      ...(warning === undefined ? [] : [warning]),
      ...(orphans.length > 0 ? [describeUnusedFacts(orphans)] : []),
    ];
    return { replaces: readState(store).policyId, ...(notes.length > 0 ? { warning: notes.join("; ") } : {}) };
  });
}
