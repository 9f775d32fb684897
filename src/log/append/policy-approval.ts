/**
 * The approval that an upload of a policy needs before it is appended. The engine checks the policy
 * (`engine/validation/policy-approval.ts`), and the log only compares which policy it was checked against: the check
 * runs the tests of the policy, for which it applies events itself.
 */
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

/** Throws `invalid_policy` if the policy is refused, and as `WorkerQueue.run` does. */
export type ApprovePolicy = (
  request: UploadedPolicy & { readonly storePath: string },
  holder: string,
) => Promise<PolicyApproval>;
