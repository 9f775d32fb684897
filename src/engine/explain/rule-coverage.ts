/**
 * Which rules take part in an answer: every rule whose conditions hold for something that the answer was derived from, in any of its
 * derivations, and what made a `not` fail. It is what the coverage of policy tests counts.
 */
import type { ProgramRule } from "../../datalog/ir/program.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import type { CallAnswers } from "./call-answers.ts";
import { factKey } from "../request/keys.ts";
import { type Substitution, type OpenAtom, valueOf } from "./atom.ts";
import { bodyOf, type TypedBody, matchHead, type Observer, rulesFor, solutions } from "./proof-search.ts";

export class RuleCoverage {
  readonly #rules: Set<ProgramRule>;
  readonly #active: ActivePolicy;
  readonly #answers: CallAnswers;
  readonly #visited = new Set<string>();

  /** The rules found are added to `rules`. */
  constructor(active: ActivePolicy, answers: CallAnswers, rules: Set<ProgramRule>) {
    this.#active = active;
    this.#answers = answers;
    this.#rules = rules;
  }

  /** Follows whatever makes the atom true, or a `not` on the way to it false. Throws `Exhausted`. */
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
