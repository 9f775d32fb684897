/**
 * Rule coverage: the rules that take part in an answer. These are the rules whose conditions hold for an atom that the
 * answer was derived from, in any derivation, and the rules that made a `not` fail.
 */
import type { ProgramRule } from "../../datalog/ir/program.ts";
import { factKey } from "../../policy/keys.ts";
import { atomOf, type OpenAtom, type Substitution } from "./atom.ts";
import type { CallAnswers } from "./call-answers.ts";
import { bodyOf, matchingRules, solutions, type TypedBody } from "./proof-search.ts";

/**
 * Adds to `covered` the rules that make the atoms true, or that make a `not` on the way to them fail. Throws
 * `WorkLimitReached`; the rules found so far stay added.
 */
export function coverRules(atoms: readonly OpenAtom[], answers: CallAnswers, covered: Set<ProgramRule>): void {
  const visited = new Set<string>();
  const waiting = atoms.toReversed();
  const follow = ({ literals }: TypedBody, bindings: Substitution): void => {
    for (const literal of literals) if (literal.kind === "call") waiting.push(atomOf(literal, bindings, answers.now));
  };
  const observer = { blocked: follow, failed: (call: OpenAtom) => void waiting.push(call) };
  for (let atom = waiting.pop(); atom; atom = waiting.pop()) {
    const key = factKey(atom);
    if (visited.has(key)) continue;
    visited.add(key);
    for (const { rule, bindings } of matchingRules(atom, answers)) {
      const body = bodyOf(rule);
      for (const solution of solutions(body, bindings, answers, observer)) {
        covered.add(rule);
        follow(body, solution);
      }
    }
  }
}
