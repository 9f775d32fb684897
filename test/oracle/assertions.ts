/** Evaluates the assertions of a policy's own tests with the oracle. */
import type { Assertion } from "../../src/polar/policy.ts";
import type { Value } from "../../src/store/facts/fact.ts";
import { assert, must } from "../../src/util/assert.ts";
import type { Oracle, Tuple } from "../oracle.ts";

/**
 * Without `iff` one answer is enough. With `iff` the values of its variable in all answers must be exactly those of the
 * list, so a wildcard makes the assertion fail.
 */
export function assertionPasses(assertion: Assertion, slow: Oracle): boolean {
  const answers = answersOf(assertion, slow);
  const { iff, expected } = assertion;
  if (iff === undefined) return answers.length > 0 === expected;
  assert(iff.kind === "in" && iff.term.kind === "variable", "the checks let only `variable in [...]` pass");
  const position = variableNames(assertion).indexOf(iff.term.name);
  const found = new Set(answers.map((answer) => must(answer[position])));
  const wanted = new Set(iff.values.map(({ type, id }) => slow.domain.ground({ type, id })));
  return (found.size === wanted.size && found.isSubsetOf(wanted)) === expected;
}

/** The values of the assertion's variables, in the order of their first use. */
export function answersOf({ predicate, params }: Assertion, slow: Oracle): Tuple[] {
  return slow.tuples(predicate, params.length).flatMap((tuple) => {
    const bindings = new Map<string, Tuple[number]>();
    const fits = params.every(({ term, type }, position) => {
      const value = must(tuple[position]);
      if (term.kind === "now") return value === slow.domain.now;
      if (term.kind === "literal") return value === slow.domain.ground({ type: term.type, id: term.id });
      if (type !== undefined && !slow.domain.isSubtype(value.type, type)) return false;
      const known = bindings.get(term.name) ?? value;
      bindings.set(term.name, value);
      return known === value;
    });
    return fits ? [[...bindings.values()]] : [];
  });
}

export function variableNames({ params }: Assertion): string[] {
  return [...new Set(params.flatMap(({ term }) => (term.kind === "variable" ? [term.name] : [])))];
}

/** The values that an assertion names, and a value of each type that it names. The oracle needs them in its domain. */
export function valuesOf({ params, iff }: Assertion): Value[] {
  const listed = iff?.kind === "in" ? iff.values : [];
  const literals = [...params.flatMap(({ term }) => (term.kind === "literal" ? [term] : [])), ...listed];
  const types = params.flatMap(({ type }) => (type === undefined || builtIn.has(type) ? [] : [type]));
  return [...literals.map(({ type, id }) => ({ type, id })), ...types.map((type) => ({ type, id: "somebody" }))];
}

const builtIn: ReadonlySet<string> = new Set(["Actor", "Resource", "String", "Integer", "Boolean"]);
