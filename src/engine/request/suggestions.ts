/** Suggestions for editors of facts: the predicates that the active policy uses, with types and names of arguments. */
import { type ClientArgument, clientFacts } from "../../datalog/print/client-types.ts";
import { must } from "../../util/assert.ts";
import { clientTypeTuplesMax } from "../../util/tuning.ts";
import type { SuggestedArgument, Suggestions } from "./questions.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";

const symbol = (value: string): SuggestedArgument => ({ kind: "symbol", value });

/**
 * One pattern has one option for each argument. A fact type with several options has as many patterns as the argument
 * with most options, so that each option occurs, but not each combination of options.
 */
export function suggestionsFor({ policy, program, universe }: ActivePolicy): Suggestions {
  const blocks = [...policy.types.keys()];
  const suggestions = new Map<string, SuggestedArgument[][]>();
  for (const { predicate, args } of clientFacts(policy, program, universe, clientTypeTuplesMax)) {
    const options = args.map((arg) => optionsOf(arg, blocks)).filter((list) => list.length > 0);
    // Without a block in the policy, no type can be suggested for an argument of any type.
    if (options.length < args.length) continue;
    const count = Math.max(...options.map((list) => list.length));
    const patterns = Array.from({ length: count }, (_, index) =>
      options.map((list) => must(list[Math.min(index, list.length - 1)])),
    );
    suggestions.getOrInsertComputed(predicate, () => []).push(...patterns);
  }
  const actors = [...policy.types].flatMap(([name, { kind }]) => (kind === "actor" ? [symbol(name)] : []));
  return { suggestions: Object.fromEntries(suggestions), actors };
}

function optionsOf({ types, ids }: ClientArgument, blocks: readonly string[]): SuggestedArgument[] {
  if (ids !== undefined && types?.every((type) => type === "String") === true)
    return ids.map((value) => ({ kind: "string", value }));
  return (types ?? blocks).map(symbol);
}
