/**
 * OpenFGA's conformance suite on every evaluator: models as policies, tuples as facts, each check and each list of objects as it is asked there.
 * The suite lies beside the project: not copied into it, so where it is absent these tests say that they skip.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { engine, naive, type Answered, type Evaluator } from "./evaluators.ts";
import { stagesOf, type Kind, type Stage } from "./stages.ts";
import { hasSuite, readSuite } from "./suite.ts";

const kinds: readonly Kind[] = ["check", "list objects"];

/** How many are asked: fewer would mean that some have dropped out. */
const least: Readonly<Record<Kind, number>> = { check: 347, "list objects": 251 };

const evaluators: readonly [string, Evaluator][] = [
  ["oracle", naive],
  ["engine, statement", engine("statement")],
  ["engine, evaluator", engine("evaluator")],
];

function problemsOf({ question: { text, actions, expected }, got }: Answered): string[] {
  return actions.flatMap((action, index) =>
    Bun.deepEquals(got[index], expected) ? [] : [`${text}: ${action} gives [${got[index]}], should be [${expected}]`],
  );
}

describe.skipIf(!hasSuite)("OpenFGA's suite (skipped where ../shared/suites is absent)", () => {
  const tests = hasSuite ? readSuite().map(stagesOf) : [];
  const stages = tests.flat();

  test.each(kinds)("nearly every %s is asked", (kind) => {
    const asked = stages.flatMap(({ questions }) => questions).filter((question) => question.kind === kind);
    const leftOut = stages.flatMap((stage) => stage.leftOut).filter((one) => one.kind === kind);
    const byEstimates = stages.filter((stage) => stage.byEstimates).flatMap(({ questions }) => questions);
    const estimated = byEstimates.filter((question) => question.kind === kind).length;
    console.log(`${kind}: ${asked.length} asked, ${estimated} of them by estimates, ${leftOut.length} left out`);
    for (const { text, reason } of leftOut) console.log(`  ${text}: ${reason}`);
    expect(leftOut.length).toBeLessThan((asked.length + leftOut.length) / 10);
    expect(asked.length).toBeGreaterThanOrEqual(least[kind]);
  });

  test.each(evaluators)(
    "%s",
    (_, evaluator) => {
      const answered = tests.flatMap(evaluator);
      expect(answered.flatMap(problemsOf)).toEqual([]);
      for (const kind of kinds) {
        expect(answered.filter(({ question }) => question.kind === kind).length).toBeGreaterThanOrEqual(least[kind]);
      }
    },
    60_000,
  );

  test.each<[string, Evaluator]>([
    ["forgets what a question brings along", (all) => naive(all.map(withoutContext))],
    ["forgets the stages before", (all) => all.flatMap((stage) => naive([stage]))],
  ])(
    "an evaluator that %s is found out",
    (_, forgetful) => expect(tests.flatMap(forgetful).flatMap(problemsOf)).not.toEqual([]),
    60_000,
  );
});

function withoutContext(stage: Stage): Stage {
  return { ...stage, questions: stage.questions.map((question) => ({ ...question, contextFacts: [] })) };
}
