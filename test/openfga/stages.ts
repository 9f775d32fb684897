/** A test of the suite as it is asked here: stages with their policies, facts and questions, and what can't be asked. */
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Policy } from "../../src/polar/policy.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import type { Model, SuiteStage, SuiteTest, Tuple } from "./suite.ts";
import { estimatesOf, translate, translateByEstimates } from "./translate.ts";
import { factsAbout, factsOf, name, valueOf } from "./tuples.ts";

export type Kind = "check" | "list objects";

export interface Question {
  readonly kind: Kind;
  /** Where it stands and what it asks, for people. */
  readonly text: string;
  readonly actor: Value;
  /** The relation, or estimates of it: each must be answered as expected. */
  readonly actions: readonly string[];
  /** The one of a check; of a list only the type. */
  readonly resource: { readonly type: string; readonly id: string | undefined };
  readonly contextFacts: readonly Fact[];
  /** Ids of the resource, sorted: of a check its own one, or none. */
  readonly expected: readonly string[];
}

export interface LeftOut {
  readonly kind: Kind;
  readonly text: string;
  readonly reason: string;
}

export interface Stage {
  readonly source: string;
  readonly policy: Policy;
  /** Those that this stage adds. */
  readonly facts: readonly Fact[];
  readonly questions: readonly Question[];
  readonly leftOut: readonly LeftOut[];
  readonly byEstimates: boolean;
}

interface Assertion {
  readonly kind: Kind;
  readonly user: string;
  readonly relation: string;
  /** An object, or a type. */
  readonly asked: string;
  readonly contextualTuples: readonly Tuple[];
  readonly errorCode: number | undefined;
  /** Objects. */
  readonly expected: readonly string[];
}

/** What OpenFGA answers with, and why that is no answer here. */
const errors: Readonly<Record<number, string>> = {
  2000: "a user or relation that the model lacks is an error there, and nobody's here",
  2002: "so long a way through the tuples is an error there, and has an answer here",
  2021: "a type that the model lacks is an error there, and without resources here",
  2022: "a relation that the model lacks is an error there, and nobody's here",
  2027: "a contextual tuple that the model does not admit is an error there, and gives nothing here",
};

/** Tests by name. */
const undecided: Readonly<Record<string, string>> = {
  true_butnot_cycle_return_false: "`x but not x` is nobody's there, and follows neither way by rules",
};

export function stagesOf(test: SuiteTest): Stage[] {
  return test.stages.map((stage, index) => stageOf(test.name, stage, index + 1));
}

function stageOf(test: string, stage: SuiteStage, number: number): Stage {
  const { source, byEstimates } = sourceOf(stage.modelJson);
  const questions: Question[] = [];
  const leftOut: LeftOut[] = [];
  for (const assertion of assertionsOf(stage)) {
    const { kind, user, relation, asked, errorCode } = assertion;
    const text = `${test}, stage ${number}: ${user} ${relation} ${asked}`;
    const reason = errorCode === undefined ? undecided[test] : must(errors[errorCode], `${errorCode} has its reason`);
    if (reason !== undefined) leftOut.push({ kind, text, reason });
    else questions.push(questionOf(assertion, text, byEstimates ? estimatesOf(relation) : [relation]));
  }
  const facts = stage.tuples.flatMap(factsOf);
  return { source, policy: compilePolicy(source), facts, questions, leftOut, byEstimates };
}

function sourceOf(model: Model): Pick<Stage, "source" | "byEstimates"> {
  const source = translate(model);
  const { diagnostics } = checkPolicy([{ name: "model.polar", text: source }], { runTests: false });
  const byEstimates = diagnostics.some(({ code }) => code === "rule/negative-cycle");
  return { source: byEstimates ? translateByEstimates(model) : source, byEstimates };
}

function assertionsOf({ checkAssertions, listObjectsAssertions }: SuiteStage): Assertion[] {
  return [
    ...checkAssertions.map(({ tuple, contextualTuples, expectation, errorCode }): Assertion => ({
      kind: "check",
      user: tuple.user,
      relation: tuple.relation,
      asked: tuple.object,
      contextualTuples,
      errorCode,
      expected: expectation === true ? [tuple.object] : [],
    })),
    ...listObjectsAssertions.map(({ request, contextualTuples, expectation, errorCode }): Assertion => ({
      kind: "list objects",
      user: request.user,
      relation: request.relation,
      asked: request.type,
      contextualTuples,
      errorCode,
      expected: expectation ?? [],
    })),
  ];
}

function questionOf(assertion: Assertion, text: string, actions: readonly string[]): Question {
  const { kind, user, asked, contextualTuples, expected } = assertion;
  return {
    kind,
    text,
    actor: valueOf(user),
    actions,
    resource: kind === "check" ? valueOf(asked) : { type: name(asked), id: undefined },
    contextFacts: [...factsAbout(user), ...contextualTuples.flatMap(factsOf)],
    expected: expected.map((object) => valueOf(object).id).toSorted(),
  };
}
