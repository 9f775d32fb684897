/** Prints a failing sample as a case file for `test/cases/regressions/`. */
import type { Policy } from "../../src/polar/policy.ts";
import type { Query } from "../../src/engine/request/questions.ts";
import { printFact, printValue } from "../cases/case.ts";
import { must } from "../../src/util/assert.ts";
import { now, oracleOrNothing, questionsOf, type Sample } from "./differential.ts";
import { asQuery, type Asked } from "./questions.ts";

export function printCase(name: string, sample: Sample, policy: Policy): string {
  const slow = must(oracleOrNothing(policy, sample));
  const asked = questionsOf(sample, slow);
  const checks = asked.flatMap((question) => (question.kind === "authorize" ? [question.check] : []));
  const verdict = (allowed: boolean) =>
    checks
      .filter(
        ({ actor, action, resource }) =>
          slow.holds("allow", [actor, { type: "String", id: action }, resource]) === allowed,
      )
      .map(({ actor, action, resource }) => `${printValue(actor)} ${action} ${printValue(resource)}`);
  return [
    `name: ${name}`,
    `now: ${now}`,
    "policy: |",
    ...sample.policy.split("\n").map((line) => `  ${line}`),
    ...list("facts", sample.facts.map(printFact)),
    ...list("context", sample.contextFacts.map(printFact)),
    ...list("allowed", verdict(true)),
    ...list("denied", verdict(false)),
    ...questions(asked),
    "",
  ].join("\n");
}

function list(key: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`${key}:`, ...items.map((item) => `  - ${item}`)];
}

/** Without an `expect`, the oracle gives the right answer. */
function questions(asked: readonly Asked[]): string[] {
  const queries = asked.filter((question) => question.kind !== "authorize").map(asQuery);
  return queries.length === 0
    ? []
    : [
        "queries:",
        ...queries.flatMap((query) => [`  - query: ${printCalls(query)}`, `    where: { ${printRanges(query)} }`]),
      ];
}

export function printCalls({ calls }: Query): string {
  return calls.map(({ predicate, variables }) => `${predicate}(${variables.join(", ")})`).join(" and ");
}

export function printRanges({ variables }: Query): string {
  const range = ({ type, ids }: { type: string; ids: readonly string[] | null }) => {
    if (ids === null) return type;
    return `[${ids.map((id) => JSON.stringify(`${type}:${id}`)).join(", ")}]`;
  };
  return [...variables].map(([name, limits]) => `${name}: ${range(limits)}`).join(", ");
}
