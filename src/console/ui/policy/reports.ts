/** What the node answers about a policy; only the members that the console uses. */
import type { Explanation } from "../ask/explanation.ts";
import type { LoggedDecision } from "../decisions/logged-decision.ts";
import type { Place, Problem } from "./places.ts";

export interface Validation {
  readonly success: boolean;
  readonly problems: readonly Problem[];
}

export type Failure = Problem & { readonly test: string };

export interface RuleCount extends Place {
  readonly file: string;
  readonly tests: number;
}

export interface TestReport extends Validation {
  readonly tests: readonly { readonly name: string; readonly passed: number; readonly total: number }[];
  readonly failures: readonly Failure[];
  readonly coverage?: {
    readonly rules: number;
    readonly exercised: number;
    readonly complete: boolean;
    readonly counts: readonly RuleCount[];
  };
}

export interface FormatReport {
  readonly success: boolean;
  readonly files: readonly {
    readonly file: string;
    readonly changed: boolean;
    readonly problems: readonly Problem[];
    readonly text?: string;
  }[];
}

export interface RulesReport {
  readonly success: boolean;
  readonly rules: readonly (Place & { readonly file: string; readonly shorthand: string; readonly longhand: string })[];
}

export interface PolicyVersion {
  readonly id: number;
  readonly active: boolean;
  readonly filename: string | null;
  readonly time: string;
  readonly author: { readonly id: string; readonly name: string | null } | null;
  readonly message: string | null;
  readonly bytes: number;
}

export interface ChangedDecision {
  readonly decision: Pick<
    LoggedDecision,
    "id" | "time" | "kind" | "actor" | "action" | "resource" | "result" | "count"
  >;
  readonly now: Pick<LoggedDecision, "result" | "count">;
  /** By the new policy. */
  readonly explanation: Explanation | null;
}

export interface Replay {
  readonly replayed: number;
  readonly changed_count: number;
  readonly complete: boolean;
  readonly skipped: readonly { readonly reason: string; readonly count: number }[];
  readonly changed: readonly ChangedDecision[];
}

export interface UnusedFacts {
  readonly facts: string;
  readonly count: number;
}
