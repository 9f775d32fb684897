/** The entry point of the process that makes logged decisions again: it can take long, so it can be killed. */
import { acceptPolicy } from "../engine/validation/policy-approval.ts";
import type { Explanation } from "../engine/explain/explanation.ts";
import { serveWorker } from "../runtime/worker.ts";
import { AppError } from "../util/app-error.ts";
import type { LoggedDecision } from "./logged-decision.ts";
import {
  type DecisionResult,
  decideAgain,
  explainAgain,
  isSameResult,
  questionOf,
  usePolicy,
} from "./past-decision.ts";
import { atPosition, type PastStateOptions } from "./past-state.ts";

export interface ExplainRequest extends PastStateOptions {
  readonly decision: LoggedDecision;
}

/** What explains a logged decision. */
export interface ExplainedDecision extends DecisionResult {
  readonly explanation: Explanation | null;
}

export interface ReplayRequest extends PastStateOptions {
  /** From the newest to the oldest. */
  readonly decisions: readonly LoggedDecision[];
  readonly source: string;
  readonly filename: string | null;
  /** How many changed decisions are explained. */
  readonly explanationsMax: number;
}

/** A decision that another policy changes. */
export interface ChangedDecision {
  readonly decision: LoggedDecision;
  readonly now: DecisionResult;
  readonly explanation: Explanation | null;
}

export interface ReplayReport {
  readonly replayed: number;
  readonly changed: readonly ChangedDecision[];
  /** Decisions that cannot be made again, by the reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

export type PastDecisionCommands = typeof commands;

const commands = {
  explain({ decision, ...options }: ExplainRequest): ExplainedDecision {
    const question = questionOf(decision);
    return atPosition(decision, options, false, (store) => ({
      ...decideAgain(store, question, decision.clock, options.limits),
      explanation: explainAgain(store, question, decision.clock, options.limits),
    }));
  },

  /** Throws `invalid_policy` if the policy has errors. Its tests are not run. */
  checkPolicy({ source, filename, limits }: Pick<ReplayRequest, "source" | "filename" | "limits">): void {
    acceptPolicy([{ name: filename || "policy.polar", text: source }], { runTests: false, limits });
  },

  replay({ decisions, source, filename, explanationsMax, ...options }: ReplayRequest): ReplayReport {
    const changed: ChangedDecision[] = [];
    const skipped: Record<string, number> = {};
    let replayed = 0;
    const skip = (error: unknown, count: number): void => {
      if (!(error instanceof AppError)) throw error;
      skipped[error.message] = (skipped[error.message] ?? 0) + count;
    };
    for (const group of groupsOf(decisions)) {
      const replayGroup = (store: Parameters<typeof usePolicy>[0]): void => {
        usePolicy(store, source, filename, options.limits);
        for (const decision of group) {
          try {
            const question = questionOf(decision);
            const now = decideAgain(store, question, decision.clock, options.limits);
            replayed += 1;
            if (isSameResult(decision, now)) continue;
            const explanation =
              changed.length < explanationsMax ? explainAgain(store, question, decision.clock, options.limits) : null;
            changed.push({ decision, now, explanation });
          } catch (error) {
            skip(error, 1);
          }
        }
      };
      const [first] = group;
      if (first === undefined) continue;
      try {
        atPosition(first, options, true, replayGroup);
      } catch (error) {
        skip(error, group.length);
      }
    }
    return { replayed, changed, skipped };
  },
};

/** Runs of decisions at one position. */
function groupsOf(decisions: readonly LoggedDecision[]): LoggedDecision[][] {
  const groups: LoggedDecision[][] = [];
  for (const decision of decisions) {
    const last = groups.at(-1);
    const known = last?.[0];
    if (last && known?.epoch === decision.epoch && known.offset === decision.offset) last.push(decision);
    else groups.push([decision]);
  }
  return groups;
}

serveWorker(commands, () => {});
