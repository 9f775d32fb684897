/** Prints terms as Polar: constants, types, names of predicates. */
import { stringLiteral } from "../../polar/string-literal.ts";
import { unreachable } from "../../util/assert.ts";
import { type Constant, type ProgramTerm, splitKey } from "../ir/program.ts";

/** The names under which closures are printed, by their names in programs. */
export type ClosureLabels = ReadonlyMap<string, string>;

export function printPredicate(predicate: string, closures: ClosureLabels): string {
  return closures.get(predicate) ?? splitKey(predicate)[0];
}

export function printConstant({ type, id }: Constant): string {
  if (type === "String") return stringLiteral(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${stringLiteral(id)}}`;
}

export function printProgramTerm(term: ProgramTerm, name: (variable: number) => string): string {
  switch (term.kind) {
    case "var":
      return name(term.index);
    case "const":
      return printConstant(term.value);
    case "now":
      return "@current_unix_time";
    default:
      return unreachable(term);
  }
}

/** Rules about all actors or all resources may have thousands of types. */
const typesMax = 8;

export function printTypes(types: Iterable<string>): string {
  const all = [...types];
  if (all.length <= typesMax) return all.join(" or ");
  return `${all.slice(0, typesMax).join(" or ")} or one of ${all.length - typesMax} others`;
}
