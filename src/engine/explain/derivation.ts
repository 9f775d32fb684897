/**
 * Why something is true: the smallest proof, by height. Searched for by iterative deepening, which finds a well-founded proof also where
 * rules and data go in circles, and always the same one.
 */
import type { ProgramLiteral, ProgramRule } from "../../datalog/program.ts";
import type { Span } from "../../polar/span.ts";
import { must } from "../../util/assert.ts";
import type { ActivePolicy } from "../active-policy.ts";
import type { Answers } from "./answers.ts";
import { type Atom, atomKey, type Bindings, formatLiteral, valueOf } from "./atom.ts";
import { bodyOf, matchHead, rulesFor, solutions } from "./solve.ts";

export type Step =
  | { readonly kind: "fact"; readonly atom: Atom }
  | {
      readonly kind: "rule";
      readonly atom: Atom;
      readonly rule: Span;
      /** One of the default `allow` rules, which no text has. */
      readonly implicit: boolean;
      readonly steps: readonly Step[];
    }
  /** A test that held, such as `not is_banned(User{"ann"})`. */
  | { readonly kind: "condition"; readonly text: string };

/** Proofs higher than this are told of nobody. */
const heightMax = 60;

export class Derivations {
  readonly #active: ActivePolicy;
  readonly #answers: Answers;
  readonly #proven = new Map<string, Step>();
  /** The greatest height within which there is no proof. */
  readonly #failed = new Map<string, number>();
  /** The last search met the bound on its height: a higher one may find more. */
  #cut = false;

  constructor(active: ActivePolicy, answers: Answers) {
    this.#active = active;
    this.#answers = answers;
  }

  /** The proof, `undefined` where there is none within bounds. Throws `Exhausted`. */
  of(atom: Atom): Step | undefined {
    for (let height = 1; height <= heightMax; height += 1) {
      this.#cut = false;
      const found = this.#prove(atom, height);
      if (found || !this.#cut) return found;
    }
    return undefined;
  }

  #prove(atom: Atom, height: number): Step | undefined {
    const key = atomKey(atom);
    const known = this.#proven.get(key);
    if (known) return known;
    if ((this.#failed.get(key) ?? -1) >= height) {
      this.#cut = true;
      return undefined;
    }
    const found = this.#answers.isFact(atom) ? ({ kind: "fact", atom } as const) : this.#byRule(atom, height);
    if (found) this.#proven.set(key, found);
    else this.#failed.set(key, height);
    return found;
  }

  #byRule(atom: Atom, height: number): Step | undefined {
    if (height === 0) {
      this.#cut = true;
      return undefined;
    }
    for (const rule of rulesFor(atom, this.#active)) {
      const start = matchHead(rule, atom, this.#answers);
      if (!start) continue;
      for (const bindings of solutions(bodyOf(rule), start, this.#answers)) {
        const steps = this.#steps(rule, bindings, height - 1);
        if (steps) return { kind: "rule", atom, rule: rule.span, implicit: rule.implicit, steps };
      }
    }
    return undefined;
  }

  #steps(rule: ProgramRule, bindings: Bindings, height: number): Step[] | undefined {
    const steps: Step[] = [];
    for (const literal of rule.body) {
      const step = this.#step(literal, rule, bindings, height);
      if (!step) return undefined;
      steps.push(step);
    }
    return steps;
  }

  #step(literal: ProgramLiteral, rule: ProgramRule, bindings: Bindings, height: number): Step | undefined {
    const { now } = this.#answers;
    if (literal.kind !== "call") return { kind: "condition", text: formatLiteral(literal, bindings, now, rule.types) };
    const args = literal.args.map((arg) => must(valueOf(arg, bindings, now), "a solution binds all arguments"));
    return this.#prove({ predicate: literal.predicate, args }, height);
  }
}
