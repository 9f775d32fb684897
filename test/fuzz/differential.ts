/** One random question, asked of the oracle and of the engine in both its ways. */
import type { Row } from "../../src/engine/questions.ts";
import { compile } from "../../src/polar/compile.ts";
import type { Policy } from "../../src/polar/policy.ts";
import type { Fact, Value } from "../../src/store/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import { policyLimits } from "../cases/compile-policy.ts";
import { openEngine, type EngineTarget } from "../cases/engine-target.ts";
import { compare, compareActions } from "../cases/run.ts";
import { oracle, TooManyTuples, type Oracle } from "../oracle.ts";
import { asQuery, type Asked } from "./questions.ts";

export interface Sample {
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly contextFacts: readonly Fact[];
  readonly questions: readonly Asked[];
}

export interface Tally {
  invalidPolicies: number;
  tooLarge: number;
  answered: number;
  notEnumerable: number;
}

export const now = 1;
const strategies = ["statement", "evaluator"] as const;
const tuplesMax = 4000;

export function emptyTally(): Tally {
  return { invalidPolicies: 0, tooLarge: 0, answered: 0, notEnumerable: 0 };
}

/** What the engine got wrong; empty where it agrees with the oracle. */
export function differencesOf(sample: Sample, tally: Tally, open: typeof openEngine = openEngine): string[] {
  const { policy } = compile([{ name: "fuzz.polar", text: sample.policy }], policyLimits);
  if (policy === undefined) {
    tally.invalidPolicies += 1;
    return [];
  }
  const slow = oracleOrNothing(policy, sample);
  if (slow === undefined) {
    tally.tooLarge += 1;
    return [];
  }
  return strategies.flatMap((strategy) => {
    using engine = open({ ...sample, now }, { strategy });
    return sample.questions.flatMap((question) =>
      check(question, engine, slow, policy, tally).map((problem) => `${strategy}: ${describe(question)}: ${problem}`),
    );
  });
}

export function oracleOrNothing(policy: Policy, { facts, contextFacts, questions }: Sample): Oracle | undefined {
  const values = questions.flatMap((question): Value[] =>
    [...asQuery(question).variables.values()].flatMap(({ type, ids }) => (ids ?? []).map((id) => ({ type, id }))),
  );
  try {
    return oracle(policy, { facts, contextFacts, now, values, tuplesMax });
  } catch (error) {
    if (error instanceof TooManyTuples) return undefined;
    throw error;
  }
}

function check(question: Asked, engine: EngineTarget, slow: Oracle, policy: Policy, tally: Tally): string[] {
  if (question.kind === "authorize") {
    const { actor, action, resource } = question.check;
    const expected = slow.holds("allow", [actor, { type: "String", id: action }, resource]);
    // Nothing may go wrong here: a check has an answer whatever the policy.
    const got = engine.authorize(question.check);
    tally.answered += 1;
    return got === expected ? [] : [`${got}, should be ${expected}`];
  }
  const answer = attempt(question, engine);
  if ("error" in answer && answer.error === "query_not_enumerable") tally.notEnumerable += 1;
  else tally.answered += 1;
  if (question.kind === "actions") return compareActions(slow, policy, question.actor, question.resource, answer);
  return compare(slow, asQuery(question), answer);
}

function attempt(
  question: Exclude<Asked, { kind: "authorize" }>,
  engine: EngineTarget,
): { rows: Row[] } | { error: string } {
  try {
    switch (question.kind) {
      case "list": {
        const { actor, action, type } = question;
        const ids = engine.list(actor, action, type);
        return { rows: ids.map((id) => ({ actor: actor.id, action, resource: id === "*" ? null : id })) };
      }
      case "actions": {
        const { actor, resource } = question;
        const actions = engine.actions(actor, resource);
        return { rows: actions.map((action) => ({ actor: actor.id, action, resource: resource.id })) };
      }
      case "query":
        return { rows: engine.query(question.query) };
    }
  } catch (error) {
    if (error instanceof AppError) return { error: error.code };
    throw error;
  }
}

function describe(question: Asked): string {
  const { variables, calls } = asQuery(question);
  return `${question.kind} ${JSON.stringify(calls)} ${JSON.stringify([...variables])}`;
}
