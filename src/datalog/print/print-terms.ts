/** Prints terms as Polar: constants, types, names of predicates. */
import { printLiteral } from "../../polar/print.ts";
import { unreachable } from "../../util/assert.ts";
import { type Condition, type ProgramTerm, splitKey } from "../ir/program.ts";

/** The names under which closures are printed, by their names in programs. */
export type ClosureLabels = ReadonlyMap<string, string>;

export function printPredicate(predicate: string, closures: ClosureLabels): string {
  return closures.get(predicate) ?? splitKey(predicate)[0];
}

export function printProgramTerm(term: ProgramTerm, name: (variable: number) => string): string {
  switch (term.kind) {
    case "var":
      return name(term.index);
    case "const":
      return printLiteral(term.value);
    case "now":
      return "@current_unix_time";
    default:
      return unreachable(term);
  }
}

export function printCondition<Term>(
  condition: Condition<Term, Iterable<string>>,
  print: (term: Term) => string,
): string {
  switch (condition.kind) {
    case "equal":
      return `${print(condition.left)} = ${print(condition.right)}`;
    case "compare":
      return `${print(condition.left)} ${condition.operator} ${print(condition.right)}`;
    case "type":
      return `${print(condition.term)} matches ${printTypes(condition.types)}`;
    default:
      return unreachable(condition);
  }
}

/** Rules about all actors or all resources may have thousands of types. */
const typesMax = 8;

export function printTypes(types: Iterable<string>): string {
  const all = [...types];
  if (all.length <= typesMax) return all.join(" or ");
  return `${all.slice(0, typesMax).join(" or ")} or one of ${all.length - typesMax} others`;
}
