/**
 * Why something is not true: the rules that could have made it true, those first of which the fewest conditions were missing, with the values
 * that the other conditions gave. A missing condition that has rules of its own is explained in turn.
 */
import type { ProgramLiteral, ProgramRule } from "../../datalog/program.ts";
import { suggestion } from "../../polar/suggest.ts";
import type { Span } from "../../polar/span.ts";
import type { ActivePolicy } from "../active-policy.ts";
import type { Answers } from "./answers.ts";
import { atomKey, type Bindings, formatAtom, formatLiteral, type OpenAtom, openId, valueOf } from "./atom.ts";
import { bodyOf, type Conjunction, matchHead, negated, rulesFor, satisfy, solutions } from "./solve.ts";

export interface Miss {
  /** What is not true, as Polar would have it. */
  readonly text: string;
  /** The best attempts; empty where no rule could give it at all. */
  readonly attempts: readonly Attempt[];
  /** There are more attempts than are told. */
  readonly more: boolean;
  /** Where a String looks like a slip: one that a rule would know in its place. */
  readonly suggestion?: string;
}

export interface Attempt {
  readonly rule: Span;
  readonly implicit: boolean;
  /** Conditions that held, with their values. */
  readonly held: readonly string[];
  readonly missing: readonly Missing[];
}

export type Missing =
  /** A call that nothing makes true. */
  | ({ readonly kind: "call" } & Miss)
  /** A test that failed, such as `5 < 3`; of a `not`, what is true although it must not be. */
  | { readonly kind: "test"; readonly text: string; readonly because: string | undefined };

const attemptsMax = 3;
const depthMax = 8;
/** Ways to satisfy the conditions of one rule that are followed at a time. */
const beamMax = 12;

interface Partial {
  readonly bindings: Bindings;
  readonly held: readonly ProgramLiteral[];
  readonly missing: readonly ProgramLiteral[];
  readonly open: readonly ProgramLiteral[];
}

export class NearestMisses {
  readonly #active: ActivePolicy;
  readonly #answers: Answers;

  constructor(active: ActivePolicy, answers: Answers) {
    this.#active = active;
    this.#answers = answers;
  }

  /** Throws `Exhausted`. */
  of(atom: OpenAtom): Miss {
    return this.#miss(atom, depthMax, new Set());
  }

  #miss(atom: OpenAtom, depth: number, above: ReadonlySet<string>): Miss {
    const key = atomKey(atom);
    const text = formatAtom(atom);
    const rules = rulesFor(atom, this.#active);
    if (depth === 0 || above.has(key)) return { text, attempts: [], more: rules.length > 0 };
    const tried = rules.flatMap((rule) => {
      const start = matchHead(rule, atom, this.#answers);
      return start ? this.#attempt(rule, start) : [];
    });
    const ordered = tried.sort(
      (one, other) =>
        one.partial.missing.length - other.partial.missing.length ||
        other.partial.held.length - one.partial.held.length,
    );
    if (ordered.length === 0) return { text, attempts: [], more: false, ...this.#suggest(atom) };
    const inside = new Set([...above, key]);
    return {
      text,
      attempts: ordered
        .slice(0, attemptsMax)
        .map(({ rule, partial }) => this.#describe(rule, partial, depth - 1, inside)),
      more: ordered.length > attemptsMax,
    };
  }

  /** A String that would make some rule's head fit, and is written much like the one there is. */
  #suggest(atom: OpenAtom): Pick<Miss, "suggestion"> {
    for (const [position, arg] of atom.args.entries()) {
      if (arg?.type !== "String") continue;
      const open = { ...atom, args: atom.args.with(position, undefined) };
      const known = rulesFor(open, this.#active).flatMap((rule) => {
        const term = rule.head[position];
        return term?.kind === "const" && matchHead(rule, open, this.#answers) ? [term.value.id] : [];
      });
      const found = suggestion(arg.id, known);
      if (found !== undefined) return { suggestion: found };
    }
    return {};
  }

  /** The way through the rule's conditions on which the fewest are missing. */
  #attempt(rule: ProgramRule, start: Bindings): { readonly rule: ProgramRule; readonly partial: Partial }[] {
    let partials: Partial[] = [{ bindings: start, held: [], missing: [], open: rule.body }];
    while (partials.some(({ open }) => open.length > 0)) {
      const next = partials.flatMap((partial) => (partial.open.length > 0 ? this.#extend(partial, rule) : [partial]));
      next.sort((one, other) => one.missing.length - other.missing.length);
      partials = next.slice(0, beamMax);
    }
    const best = partials.find(({ missing }) => missing.length > 0);
    return best ? [{ rule, partial: best }] : [];
  }

  /** One condition further: one that holds, if there is one, and calls before tests; else one that does not. */
  #extend(partial: Partial, rule: ProgramRule): Partial[] {
    this.#answers.step();
    const body: Conjunction = { ...bodyOf(rule), literals: rule.body };
    const calls = partial.open.filter(({ kind }) => kind === "call");
    const candidates = calls.length > 0 ? calls : partial.open;
    for (const literal of byBoundness(candidates, partial.bindings)) {
      const found: Partial[] = [];
      for (const bindings of satisfy(literal, body, partial.bindings, this.#answers)) {
        found.push({ ...partial, bindings, held: [...partial.held, literal], open: without(partial.open, literal) });
        if (found.length >= beamMax) break;
      }
      if (found.length > 0) return found;
    }
    const [literal] = byBoundness(candidates, partial.bindings);
    if (!literal) return [];
    return [{ ...partial, missing: [...partial.missing, literal], open: without(partial.open, literal) }];
  }

  #describe(rule: ProgramRule, partial: Partial, depth: number, above: ReadonlySet<string>): Attempt {
    const { now } = this.#answers;
    const write = (literal: ProgramLiteral): string => formatLiteral(literal, partial.bindings, now, rule.types);
    const inOrder = (literals: readonly ProgramLiteral[]): ProgramLiteral[] =>
      rule.body.filter((literal) => literals.includes(literal));
    return {
      rule: rule.span,
      implicit: rule.implicit,
      held: inOrder(partial.held).map(write),
      missing: inOrder(partial.missing).map((literal): Missing => {
        if (literal.kind !== "call")
          return { kind: "test", text: write(literal), because: this.#because(literal, rule, partial.bindings) };
        const args = literal.args.map((arg) => {
          const value = valueOf(arg, partial.bindings, now);
          return value?.id === openId ? undefined : value;
        });
        // Of a call with open arguments there are too many things to explain: it is only named, unless it is the question itself.
        if (!rule.implicit && args.includes(undefined))
          return { kind: "call", text: write(literal), attempts: [], more: false };
        return { kind: "call", ...this.#miss({ predicate: literal.predicate, args }, depth, above) };
      }),
    };
  }

  /** What makes a negated condition true. */
  #because(literal: ProgramLiteral, rule: ProgramRule, bindings: Bindings): string | undefined {
    if (literal.kind !== "not") return undefined;
    const inner = negated(literal.body, bodyOf(rule));
    const [found] = solutions(inner, bindings, this.#answers);
    if (!found) return undefined;
    return literal.body.map((part) => formatLiteral(part, found, this.#answers.now, inner.types)).join(" and ");
  }
}

function byBoundness(literals: readonly ProgramLiteral[], bindings: Bindings): ProgramLiteral[] {
  const unknown = (literal: ProgramLiteral): number =>
    literal.kind === "call"
      ? literal.args.filter((arg) => arg.kind === "var" && bindings[arg.index] === undefined).length
      : 0;
  return literals.toSorted((one, other) => unknown(one) - unknown(other));
}

function without(literals: readonly ProgramLiteral[], literal: ProgramLiteral): ProgramLiteral[] {
  return literals.filter((other) => other !== literal);
}
