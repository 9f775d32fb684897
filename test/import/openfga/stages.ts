/** A test of OpenFGA's suite after the import: stages with their policies, facts and questions, and what is left out. */
import { nodeChecks } from "../../../src/cli/import/relation-schemas.ts";
import { readOpenFgaModel } from "../../../src/import/openfga-model.ts";
import { relationshipOf, subjectOf } from "../../../src/import/openfga-store.ts";
import { PolarPolicy } from "../../../src/import/polar-policy.ts";
import type { Place } from "../../../src/import/relation-model.ts";
import { translate } from "../../../src/import/translation.ts";
import type { Policy } from "../../../src/polar/policy.ts";
import type { Fact, Value } from "../../../src/store/facts/fact.ts";
import { must } from "../../../src/util/assert.ts";
import { compilePolicy } from "../../cases/compile-policy.ts";
import type { SuiteStage, SuiteTest, Tuple } from "./suite.ts";

export type Kind = "check" | "list objects";

export interface Question {
  readonly kind: Kind;
  /** Where the question stands and what it asks, for people. */
  readonly text: string;
  readonly actor: Value;
  readonly action: string;
  /** The resource of a check, or the type of a list. */
  readonly resource: { readonly type: string; readonly id: string | undefined };
  readonly contextFacts: readonly Fact[];
  /** Sorted ids: of a check the id of the resource, or nothing. */
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
  /** The facts of this stage and all stages before it. */
  readonly facts: readonly Fact[];
  readonly questions: readonly Question[];
  readonly leftOut: readonly LeftOut[];
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

/** The errors of OpenFGA that have no counterpart. */
const errors: Readonly<Record<number, string>> = {
  2000: "a user or relation that the model lacks is an error there, and nobody here",
  2002: "a path through very many tuples is an error there, and has an answer here",
  2021: "a type that the model lacks is an error there, and has no resources here",
  2022: "a relation that the model lacks is an error there, and nobody has it here",
  2027: "a contextual tuple that the model does not admit is an error there, and without effect here",
};

const place: Place = { file: "suite", line: 0 };

export function stagesOf(test: SuiteTest): Stage[] {
  const tuples: Tuple[] = [];
  return test.stages.map((stage, index) => {
    tuples.push(...stage.tuples);
    return stageOf(`${test.name}, stage ${index + 1}`, stage, tuples);
  });
}

function stageOf(name: string, stage: SuiteStage, tuples: readonly Tuple[]): Stage {
  const model = readOpenFgaModel(JSON.stringify(stage.modelJson), "model.json", () => "");
  const policy = new PolarPolicy(model);
  const relationships = tuples.map((tuple) => relationshipOf(tuple, place));
  const source = { model, conditionWord: "condition", relationships, tests: [], untranslated: [] } as const;
  const { policy: text, facts, untranslated } = translate(source, nodeChecks);
  const isCyclic = untranslated.some(({ message }) => message.includes("its own negation"));
  const cycle = isCyclic ? "the model has a relation that depends on its own negation" : undefined;
  const questions: Question[] = [];
  const leftOut: LeftOut[] = [];
  for (const assertion of assertionsOf(stage)) {
    const { kind, user, relation, asked, errorCode } = assertion;
    const found = cycle ?? reasonFor(errorCode) ?? questionOf(assertion, policy, name);
    if (typeof found === "string") leftOut.push({ kind, text: `${name}: ${user} ${relation} ${asked}`, reason: found });
    else questions.push(found);
  }
  return { source: text, policy: compilePolicy(text), facts, questions, leftOut };
}

function reasonFor(errorCode: number | undefined): string | undefined {
  return errorCode === undefined ? undefined : must(errors[errorCode], `error ${errorCode} has a reason`);
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

/** Returns a reason if the question cannot be asked. */
function questionOf(assertion: Assertion, policy: PolarPolicy, stage: string): Question | string {
  const { kind, user, relation, asked, contextualTuples, expected } = assertion;
  const subject = subjectOf(user, place);
  if (subject.relation !== undefined || subject.id === "*")
    return "it asks about a set of users, and Polar asks about one actor";
  const object = kind === "check" ? subjectOf(asked, place) : { type: asked, id: "" };
  const action = policy.action(subject.type, relation, object.type);
  if (action === undefined) return "the model has no such relation or type";
  const stored = contextualTuples.map((tuple) => policy.stored(relationshipOf(tuple, place)));
  const [problem] = stored.flatMap(({ problems }) => problems);
  if (problem !== undefined) return problem;
  const resource = must(policy.value(object));
  return {
    kind,
    text: `${stage}: ${user} ${relation} ${asked}`,
    actor: must(policy.value(subject)),
    action,
    resource: { type: resource.type, id: kind === "check" ? resource.id : undefined },
    contextFacts: stored.flatMap(({ facts }) => facts),
    expected: expected.map((found) => subjectOf(found, place).id).toSorted(),
  };
}
