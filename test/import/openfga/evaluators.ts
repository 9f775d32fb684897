/** The programs that must answer like OpenFGA: the engine with each of its strategies, and the slow oracle. */
import type { Strategy } from "../../../src/engine/query/planner.ts";
import { must } from "../../../src/util/assert.ts";
import { allowQuery } from "../../cases/case.ts";
import { openEngineInMemory } from "../../cases/engine-target.ts";
import { oracle, type Oracle } from "../../oracle.ts";
import type { Question, Stage } from "./stages.ts";

/** A question with the ids of its answer, sorted. The answer to a check is the id of the resource, or nothing. */
export interface Answer {
  readonly question: Question;
  readonly ids: readonly string[];
}

export type Evaluator = (stage: Stage) => Answer[];

const now = 1;

export function engine(strategy: Strategy): Evaluator {
  return ({ source, facts, questions }) => {
    const groups = Map.groupBy(questions, ({ contextFacts }) => JSON.stringify(contextFacts));
    return [...groups.values()].flatMap((group) => {
      const { contextFacts } = must(group[0]);
      using target = openEngineInMemory({ policy: source, facts, contextFacts, now }, { strategy });
      return group.map((question) => {
        const {
          actor,
          action,
          resource: { type, id },
        } = question;
        if (id === undefined) return { question, ids: target.list(actor, action, type).toSorted() };
        return { question, ids: target.authorize({ actor, action, resource: { type, id } }) ? [id] : [] };
      });
    });
  };
}

export const slowOracle: Evaluator = ({ policy, facts, questions }) => {
  // Context facts change the whole model, so questions with the same ones are asked together.
  const groups = Map.groupBy(questions, ({ contextFacts }) => JSON.stringify(contextFacts));
  return [...groups.values()].flatMap((group) => {
    const { contextFacts } = must(group[0]);
    const values = group.flatMap(({ actor, action, resource: { type, id } }) => [
      actor,
      { type: "String", id: action },
      ...(id === undefined ? [] : [{ type, id }]),
    ]);
    const slow = oracle(policy, { facts, contextFacts, now, values });
    return group.map((question) => ({ question, ids: askOracle(slow, question) }));
  });
};

/** A fresh value in an answer stands for all values that nothing names. */
function askOracle(slow: Oracle, { actor, action, resource: { type, id } }: Question): string[] {
  const solutions = slow.solutions(allowQuery(actor, action, { type, ids: id === undefined ? null : [id] }, []));
  const resources = solutions.map((solution) => must(solution[2]));
  return [...new Set(resources.map((resource) => (resource.fresh ? "*" : resource.id)))].toSorted();
}
