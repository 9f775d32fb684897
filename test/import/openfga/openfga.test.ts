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

/** The least number of questions: fewer would mean that some are not asked any more. */
const least: Readonly<Record<Kind, number>> = { check: 336, "list objects": 240 };

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

  test.each(kinds)("nearly every %s is asked", (kind) => {
    const asked = stages.flatMap(({ questions }) => questions).filter((question) => question.kind === kind);
    const leftOut = stages.flatMap((stage) => stage.leftOut).filter((one) => one.kind === kind);
    console.log(`${kind}: ${asked.length} asked, ${leftOut.length} left out`);
    for (const { text, reason } of leftOut) console.log(`  ${text}: ${reason}`);
    expect(leftOut.length).toBeLessThan((asked.length + leftOut.length) / 5);
    expect(asked.length).toBeGreaterThanOrEqual(least[kind]);
  });

  test.each(evaluators)(
    "%s",
    (_, evaluator) => {
      const answers = stages.flatMap(evaluator);
      expect(answers.flatMap(problemsOf)).toEqual([]);
      for (const kind of kinds)
        expect(answers.filter(({ question }) => question.kind === kind).length).toBeGreaterThanOrEqual(least[kind]);
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
