/** Compares the answers of the oracle and of the engine, with both strategies, to random questions. */
import fc from "fast-check";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { QueryRow } from "../../src/engine/request/questions.ts";
import type { Policy } from "../../src/polar/policy.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import { type EngineInput, type EngineTarget, openBothInMemory } from "../cases/engine-target.ts";
import { compare, compareActions } from "../cases/run.ts";
import { must } from "../../src/util/assert.ts";
import type { Ground } from "../oracle/domain.ts";
import { oracle, TooMuchWork, type Oracle } from "../oracle.ts";
import { policySpec, writePolicy } from "./policy.ts";
import { asked, asQuery, type Asked, contextFacts, facts } from "./questions.ts";
import { entityTypes } from "./rules.ts";

export interface Sample {
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly contextFacts: readonly Fact[];
  readonly questions: readonly Asked[];
  /** Each selects an allowed question. Without them nearly all answers would be negative. */
  readonly hits: readonly number[];
}

export const randomSample: fc.Arbitrary<Sample> = fc.record({
  policy: policySpec.map(writePolicy),
  facts,
  contextFacts,
  questions: fc.array(asked, { minLength: 2, maxLength: 7 }),
  hits: fc.array(fc.nat(10_000), { maxLength: 2, size: "max" }),
});

export interface Counts {
  invalidPolicies: number;
  tooLarge: number;
  /**
   * Questions with a positive or non-empty answer. This count and the others below have each question once per engine.
   */
  positive: number;
  answered: number;
  notEnumerable: number;
}

export const now = 1;
const conditionsMax = 300_000;

export function noCounts(): Counts {
  return { invalidPolicies: 0, tooLarge: 0, positive: 0, answered: 0, notEnumerable: 0 };
}

/** What is wrong in an engine that random policies must find. */
export interface Fault {
  readonly input?: (input: EngineInput) => EngineInput;
  readonly engine?: (engine: EngineTarget) => EngineTarget;
}

/** The errors of both strategies of the engine; empty if they agree with the oracle. */
export function differencesOf(sample: Sample, counts: Counts, fault: Fault = {}): string[] {
  const { policy } = checkPolicy([{ name: "fuzz.polar", text: sample.policy }], { runTests: false });
  if (policy === undefined) {
    counts.invalidPolicies += 1;
    return [];
  }
  const slow = oracleOrNothing(policy, sample);
  if (slow === undefined) {
    counts.tooLarge += 1;
    return [];
  }
  const input = { ...sample, now };
  using opened = openBothInMemory(fault.input?.(input) ?? input);
  return Object.entries(opened.engines).flatMap(([strategy, engine]) =>
    answersOf(sample, fault.engine?.(engine) ?? engine, slow, policy, counts).map(
      (problem) => `${strategy}: ${problem}`,
    ),
  );
}

/** Asks all questions of a sample. */
export function answersOf(
  sample: Sample,
  engine: EngineTarget,
  slow: Oracle,
  policy: Policy,
  counts: Counts,
): string[] {
  return questionsOf(sample, slow).flatMap((question) => {
    if (isTrue(question, slow)) counts.positive += 1;
    return check(question, engine, slow, policy, counts).map((problem) => `${describe(question)}: ${problem}`);
  });
}

/** The questions of a sample, and those that its hits select. */
export function questionsOf({ questions, hits }: Pick<Sample, "questions" | "hits">, slow: Oracle): Asked[] {
  const allowed = slow
    .tuples("allow", 3)
    .filter((tuple) =>
      tuple.every(({ type }, position) =>
        position === 1 ? type === "String" : entityTypes.some((known) => known === type),
      ),
    );
  if (allowed.length === 0) return [...questions];
  const asked = hits.flatMap((hit): Asked[] => {
    const [actor, action, resource] = must(allowed[hit % allowed.length]).map(known);
    if (actor === undefined || action === undefined || resource === undefined) return [];
    return [
      { kind: "authorize", check: { actor, action: action.id, resource } },
      hit % 2 === 0
        ? { kind: "list", actor, action: action.id, type: resource.type }
        : { kind: "actions", actor, resource },
    ];
  });
  return [...questions, ...asked];
}

/** Replaces fresh values by unknown ids: as many as the oracle has fresh values of a type. */
function known(value: Ground): Value {
  if (!value.fresh) return value;
  return { type: value.type, id: must(strangers[Number(value.id.slice(1)) - 1]) };
}

const strangers = ["9", "8", "7"];
const strangeValues = [...entityTypes, "String"].flatMap((type) => strangers.map((id) => ({ type, id })));

export function oracleOrNothing(
  policy: Policy,
  { facts, contextFacts, questions }: Pick<Sample, "facts" | "contextFacts" | "questions">,
  limits = { now, conditionsMax },
): Oracle | undefined {
  const values = questions.flatMap((question): Value[] =>
    [...asQuery(question).variables.values()].flatMap(({ type, ids }) => (ids ?? []).map((id) => ({ type, id }))),
  );
  try {
    return oracle(policy, { facts, contextFacts, values: [...values, ...strangeValues], ...limits });
  } catch (error) {
    if (error instanceof TooMuchWork) return undefined;
    throw error;
  }
}

function check(question: Asked, engine: EngineTarget, slow: Oracle, policy: Policy, counts: Counts): string[] {
  const answer = answerOf(question, engine);
  if (isNotEnumerable(answer)) counts.notEnumerable += 1;
  else counts.answered += 1;
  return problemsOf(question, answer, slow, policy);
}

export type Answer = boolean | { readonly rows: QueryRow[] } | { readonly error: string };

export function isNotEnumerable(answer: Answer): boolean {
  return typeof answer === "object" && "error" in answer && answer.error === "query_not_enumerable";
}

export function answerOf(question: Asked, engine: EngineTarget): Answer {
  // An error is never acceptable here: a check has an answer under every policy.
  if (question.kind === "authorize") return engine.authorize(question.check);
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

/** Whether the answer is positive, or not empty. */
export function isTrue(question: Asked, slow: Oracle): boolean {
  if (question.kind !== "authorize") return slow.solutions(asQuery(question)).length > 0;
  const { actor, action, resource } = question.check;
  return slow.holds("allow", [actor, { type: "String", id: action }, resource]);
}

/** The errors of an answer. */
export function problemsOf(question: Asked, answer: Answer, slow: Oracle, policy: Policy): string[] {
  if (question.kind === "authorize" || typeof answer === "boolean") {
    const expected = isTrue(question, slow);
    return answer === expected ? [] : [`${JSON.stringify(answer)}, should be ${expected}`];
  }
  if (question.kind === "actions") return compareActions(slow, policy, question.actor, question.resource, answer);
  return compare(slow, asQuery(question), answer);
}

export function describe(question: Asked): string {
  const { variables, calls } = asQuery(question);
  return `${question.kind} ${JSON.stringify(calls)} ${JSON.stringify([...variables])}`;
}
