/** The entry point of the process that answers from earlier data: it can take long, so it can be killed. */
import type { Limits } from "../config/limits.ts";
import { askEngine, Engine } from "../engine/engine.ts";
import { explainQuestion } from "../engine/explain/decision.ts";
import {
  type DecisionKind,
  type ExplainQuestion,
  questionFromJson,
  type Questions,
} from "../engine/request/questions.ts";
import { formatToken } from "../log/event/position.ts";
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
import { atMoment, type Moment, type MomentData } from "./moment.ts";
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

/** A question about an earlier moment. */
export interface PastRequest<Kind extends DecisionKind = DecisionKind> extends PastStateOptions {
  readonly moment: Moment;
  readonly kind: Kind;
  /** A string is the question as JSON. */
  readonly question: Questions[Kind]["question"] | string;
  /** The member with the answer; undefined if the answer is everything. */
  readonly key: string | undefined;
}

export interface PastExplainRequest extends PastStateOptions {
  readonly moment: Moment;
  readonly question: ExplainQuestion;
}

export interface PastAnswer {
  /** JSON. */
  readonly answer: string;
  /** The position of the moment, as a consistency token. */
  readonly position: string;
  /** As in `AnswerNote`. */
  readonly unknown: readonly string[] | undefined;
}

export type PastCommands = typeof commands;

const commands = {
  explain({ decision, ...options }: ExplainRequest): ExplainedDecision {
    const question = questionOf(decision);
    return atPosition(decision, options, false, (store) => ({
      ...decideAgain(store, question, decision.clock, options.limits),
      explanation: explainAgain(store, question, decision.clock, options.limits),
    }));
  },

  answerAt({ moment, kind, question, key, ...options }: PastRequest): PastAnswer {
    return atMoment(moment, options, (data) => {
      const engine = engineAt(data, options.limits);
      const asked = typeof question === "string" ? questionFromJson(kind, question) : question;
      const answer = askEngine(engine, kind, asked);
      const json = JSON.stringify(key === undefined ? answer : { [key]: answer });
      return { answer: json, position: tokenOf(data), unknown: engine.unknownNames(kind, asked, answer) };
    });
  },

  explainAt({ moment, question, ...options }: PastExplainRequest): PastAnswer {
    return atMoment(moment, options, (data) => {
      const explanation = explainQuestion(data.store, question, { limits: options.limits, clock: data.clock });
      return { answer: JSON.stringify(explanation), position: tokenOf(data), unknown: undefined };
    });
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

function engineAt({ store, clock }: MomentData, limits: Limits): Engine {
  return new Engine(store, { limits, clock: () => clock, inTransaction: true });
}

function tokenOf({ position: { epoch, offset } }: MomentData): string {
  return formatToken(epoch, offset);
}

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
