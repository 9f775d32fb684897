/** Logged decisions, made again: on the data of their time, with the policy of that time or with another one. */
import type { Limits } from "../config/limits.ts";
import { askEngine, Engine } from "../engine/engine.ts";
import { explainDecision } from "../engine/explain/decision.ts";
import type { Explanation } from "../engine/explain/explanation.ts";
import { listResultOf } from "../engine/request/list-result.ts";
import { applyEvent } from "../log/state/apply.ts";
import type { Connection } from "../store/connection/connection.ts";
import { readState } from "../store/log/store-state.ts";
import { AppError } from "../util/app-error.ts";
import { type AskedQuestion, askedQuestion, type LoggedValue } from "./decision-question.ts";
import type { LoggedDecision } from "./logged-decision.ts";
import { hex } from "./redaction.ts";

/** The result of a decision, as the log has it. */
export type DecisionResult = Pick<LoggedDecision, "result" | "count" | "digest">;

/** AppError `gone` if the log does not have the whole question. */
export function questionOf(decision: LoggedDecision): AskedQuestion {
  const { kind, actor, action, resource, context_facts: contextFacts, question, redacted } = decision;
  const missing = redacted.filter((field) => asked.has(field));
  if (missing.length > 0)
    throw new AppError(
      "gone",
      `the decision cannot be made again: the log has only a part of its question (${missing.join(", ")}), because of the settings \`advanced.decisionsOmit\` or \`advanced.decisionsHash\`, or because it is too long`,
    );
  const known = (value: LoggedValue | null) => value ?? undefined;
  return askedQuestion(kind, {
    actor: known(actor),
    action: action ?? undefined,
    resource: known(resource),
    contextFacts,
    rest: question ?? undefined,
  });
}

const asked: ReadonlySet<string> = new Set(["actor", "resource", "context", "question"]);

/** Makes the decision again, at its own time. `store` is in a transaction. Throws as the engine does. */
export function decideAgain(
  store: Connection,
  { kind, question }: AskedQuestion,
  clock: number,
  limits: Limits,
): DecisionResult {
  const engine = new Engine(store, { limits, clock: () => clock, inTransaction: true });
  const answer = askEngine(engine, kind, question);
  if (typeof answer === "boolean") return { result: answer ? "allow" : "deny", count: null, digest: null };
  const list = listResultOf(kind, answer);
  return { result: null, count: list?.count ?? 0, digest: list === undefined ? null : hex(list.digest) };
}

export function explainAgain(
  store: Connection,
  { kind, question }: AskedQuestion,
  clock: number,
  limits: Limits,
): Explanation | null {
  return kind === "authorize" ? explainDecision(store, question, { limits, clock }) : null;
}

/** Makes another policy the active one, until the caller's transaction is rolled back. */
export function usePolicy(store: Connection, source: string, filename: string | null, limits: Limits): void {
  const { offset, policyId, timeMs } = readState(store);
  // The history may have later policies, whose numbers are taken.
  const last = store.number("SELECT max(id) FROM policy") ?? policyId;
  const effect = { kind: "policy", id: last + 1, source, filename } as const;
  applyEvent(store, { offset: offset + 1, timeMs, traceparent: null, effect }, limits);
}

export function isSameResult(one: DecisionResult, other: DecisionResult): boolean {
  return one.result === other.result && one.count === other.count && one.digest === other.digest;
}
