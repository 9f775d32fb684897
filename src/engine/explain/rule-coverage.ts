/**
 * Rule coverage: which rules take part in an answer. These are the rules whose conditions hold for an atom that the
 * answer was derived from, in any derivation, and the rules that made a `not` fail. The coverage of policy tests counts
 * them.
 */
import type { ProgramRule } from "../../datalog/ir/program.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { factKey } from "../request/keys.ts";
import { type OpenAtom, type Substitution, valueOf } from "./atom.ts";
import type { CallAnswers } from "./call-answers.ts";
import { bodyOf, matchHead, type Observer, rulesFor, solutions, type TypedBody } from "./proof-search.ts";

export class RuleCoverage {
  readonly #rules: Set<ProgramRule>;
  readonly #active: ActivePolicy;
  readonly #answers: CallAnswers;
  readonly #visited = new Set<string>();

  /** Adds the rules that it finds to `rules`. */
  constructor(active: ActivePolicy, answers: CallAnswers, rules: Set<ProgramRule>) {
    this.#active = active;
    this.#answers = answers;
    this.#rules = rules;
  }

  /** Follows everything that makes the atom true, or makes a `not` on the way to it fail. Throws `WorkLimitReached`. */
  visit(start: OpenAtom): void {
    const waiting: OpenAtom[] = [start];
    for (let atom = waiting.pop(); atom; atom = waiting.pop()) {
      const key = factKey(atom);
      if (this.#visited.has(key)) continue;
      this.#visited.add(key);
      const found = atom;
      for (const rule of rulesFor(found, this.#active)) {
        const bindings = matchHead(rule, found, this.#answers);
        if (!bindings) continue;
        const observer: Observer = {
          blocked: (inner, values) => waiting.push(...this.#callsOf(inner, values)),
          failed: (call) => waiting.push(call),
        };
        const body = bodyOf(rule);
        for (const solution of solutions(body, bindings, this.#answers, observer)) {
          this.#rules.add(rule);
          waiting.push(...this.#callsOf(body, solution));
        }
      }
    }
  }

  #callsOf({ literals }: TypedBody, bindings: Substitution): OpenAtom[] {
    return literals.flatMap((literal): OpenAtom[] => {
      if (literal.kind !== "call") return [];
      const args = literal.args.map((arg) => valueOf(arg, bindings, this.#answers.now));
      return [{ predicate: literal.predicate, args }];
    });
  }
}
