/** Those who must answer as OpenFGA does. Each goes through the stages of a test and asks what stands there. */
import type { Strategy } from "../../src/engine/query/planner.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import { allowQuery } from "../cases/case.ts";
import { insertion, openLiveEngine, type EngineTarget } from "../cases/engine-target.ts";
import { oracle, type Oracle } from "../oracle.ts";
import type { Question, Stage } from "./stages.ts";

/** A question with the ids that came for each of its actions, sorted: of a check that of the resource, or none. */
export interface Answered {
  readonly question: Question;
  readonly got: readonly (readonly string[])[];
}

export type Evaluator = (stages: readonly Stage[]) => Answered[];

const now = 1;

/** The engine with a store that lives through all stages. */
export function engine(strategy: Strategy): Evaluator {
  return (stages) => {
    using live = openLiveEngine(now, { strategy });
    return stages.flatMap(({ source, facts, questions }, index) => {
      live.apply(insertion(facts));
      live.apply({ kind: "policy", id: index + 1, source, filename: null });
      return questions.map((question) => {
        const target = live.asking(question.contextFacts);
        return { question, got: question.actions.map((action) => ask(target, action, question)) };
      });
    });
  };
}

function ask(target: EngineTarget, action: string, { actor, resource: { type, id } }: Question): string[] {
  if (id === undefined) return target.list(actor, action, type).toSorted();
  return target.authorize({ actor, action, resource: { type, id } }) ? [id] : [];
}

export const naive: Evaluator = (stages) => {
  const stored: Fact[] = [];
  return stages.flatMap(({ policy, facts, questions }) => {
    stored.push(...facts);
    // What a question brings along changes the whole model, so those that bring the same are asked together.
    const groups = Map.groupBy(questions, ({ contextFacts }) => JSON.stringify(contextFacts));
    return [...groups.values()].flatMap((group) => {
      const { contextFacts } = must(group[0]);
      const slow = oracle(policy, { facts: stored, contextFacts, now, values: group.flatMap(valuesOf) });
      return group.map((question) => ({
        question,
        got: question.actions.map((action) => askNaively(slow, action, question)),
      }));
    });
  });
};

function valuesOf({ actor, actions, resource: { type, id } }: Question): Value[] {
  const strings = actions.map((action) => ({ type: "String", id: action }));
  return [actor, ...strings, ...(id === undefined ? [] : [{ type, id }])];
}

/** A fresh value among the answers stands for all that nothing names. */
function askNaively(slow: Oracle, action: string, { actor, resource: { type, id } }: Question): string[] {
  const solutions = slow.solutions(allowQuery(actor, action, { type, ids: id === undefined ? null : [id] }, []));
  const resources = solutions.map((solution) => must(solution[2]));
  return [...new Set(resources.map((resource) => (resource.fresh ? "*" : resource.id)))].toSorted();
}
