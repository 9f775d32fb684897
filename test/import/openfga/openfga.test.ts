/**
 * OpenFGA's conformance suite after the import, on all evaluators: models as policies, tuples as facts, each check and
 * each list of objects. The suite is beside the project, so these tests are skipped where it is missing.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { type Answer, engine, type Evaluator, slowOracle } from "./evaluators.ts";
import { type Kind, type Stage, stagesOf } from "./stages.ts";
import { hasSuite, readSuite } from "./suite.ts";

const kinds: readonly Kind[] = ["check", "list objects"];

/** How many questions are asked, and how many are left out for which reason. */
const counts: Readonly<Record<Kind, { readonly asked: number; readonly leftOut: Readonly<Record<string, number>> }>> = {
  check: {
    asked: 336,
    leftOut: {
      "a contextual tuple that the model does not admit is an error there, and without effect here": 6,
      "a path through very many tuples is an error there, and has an answer here": 1,
      "a user or relation that the model lacks is an error there, and nobody here": 5,
      "it asks about a set of users, and Polar asks about one actor": 2,
      "the model has a relation that depends on its own negation": 10,
    },
  },
  "list objects": {
    asked: 240,
    leftOut: {
      "a contextual tuple that the model does not admit is an error there, and without effect here": 8,
      "a relation that the model lacks is an error there, and nobody has it here": 3,
      "a type that the model lacks is an error there, and has no resources here": 3,
      "a user or relation that the model lacks is an error there, and nobody here": 4,
      "it asks about a set of users, and Polar asks about one actor": 2,
      "the model has a relation that depends on its own negation": 10,
    },
  },
};

const evaluators: readonly [string, Evaluator][] = [
  ["oracle", slowOracle],
  ["engine, statement", engine("statement")],
  ["engine, evaluator", engine("evaluator")],
];

function problemsOf({ question: { text, expected }, ids }: Answer): string[] {
  return Bun.deepEquals(ids, expected) ? [] : [`${text}: [${ids}], expected [${expected}]`];
}

describe.skipIf(!hasSuite)("OpenFGA's suite (skipped where ../shared/suites is missing)", () => {
  const tests = hasSuite ? readSuite().map(stagesOf) : [];
  const stages = tests.flat();

  test.each(kinds)("every %s is asked, or left out for a known reason", (kind) => {
    const asked = stages.flatMap(({ questions }) => questions).filter((question) => question.kind === kind);
    const leftOut = stages.flatMap((stage) => stage.leftOut).filter((one) => one.kind === kind);
    for (const { text, reason } of leftOut) console.log(`  ${text}: ${reason}`);
    const byReason = new Map<string, number>();
    for (const { reason } of leftOut) byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
    expect({ asked: asked.length, leftOut: Object.fromEntries(byReason) }).toEqual(counts[kind]);
  });

  test.each(evaluators)(
    "%s",
    (_, evaluator) => {
      const answers = stages.flatMap(evaluator);
      expect(answers.flatMap(problemsOf)).toEqual([]);
      for (const kind of kinds)
        expect(answers.filter(({ question }) => question.kind === kind).length).toBe(counts[kind].asked);
    },
    60_000,
  );

  test.each<[string, Stage[]]>([
    ["contextual tuples", stages.map(withoutContext)],
    [
      "tuples of earlier stages",
      tests.flatMap((all) => all.map((stage, index) => withoutEarlier(stage, all[index - 1]))),
    ],
  ])(
    "the suite notices missing %s",
    (_, changed) => expect(changed.flatMap(slowOracle).flatMap(problemsOf)).not.toEqual([]),
    60_000,
  );
});

function withoutContext(stage: Stage): Stage {
  return { ...stage, questions: stage.questions.map((question) => ({ ...question, contextFacts: [] })) };
}

function withoutEarlier(stage: Stage, earlier: Stage | undefined): Stage {
  return { ...stage, facts: stage.facts.slice(earlier?.facts.length ?? 0) };
}
