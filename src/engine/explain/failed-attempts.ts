/**
 * Failed attempts: why an atom is not true. They are the rules that could have derived it, with the values that their
 * satisfied conditions gave; rules with the fewest missing conditions come first. A missing condition that has rules of
 * its own is explained in turn.
 */
import { literalVariables, type ProgramCall, type ProgramLiteral, type ProgramRule } from "../../datalog/ir/program.ts";
import { suggestion } from "../../util/suggestion.ts";
import { factKey } from "../../policy/keys.ts";
import { atomOf, formatLiteral, isClosed, type OpenAtom, type Substitution } from "./atom.ts";
import { type CallAnswers, WorkLimitReached } from "./call-answers.ts";
import type { FactOrigin, FailedAttempt, FailedCall, HeldCondition, MissingCondition } from "./explanation.ts";
import {
  bodyOf,
  isOpen,
  matchingRules,
  type MatchingRule,
  negated,
  rulesFor,
  satisfy,
  solutions,
} from "./proof-search.ts";
import { callOf, callOfLiteral, isPolicyFact, type Renderer } from "./rendering.ts";

/**
 * The maximum nesting of failed calls. The outer levels show several attempts each, the inner ones only the best one.
 */
const levelsMax = 12;
const wideLevels = 4;
const attemptsMax = 3;
/** The number of partial solutions of one rule that are followed at a time. */
const beamMax = 12;

interface PartialAttempt {
  readonly rule: ProgramRule;
  readonly bindings: Substitution;
  readonly held: readonly ProgramLiteral[];
  /** The satisfied conditions with so many solutions that none was chosen. */
  readonly many: readonly ProgramLiteral[];
  readonly missing: readonly ProgramLiteral[];
  readonly open: readonly ProgramLiteral[];
}

const unexplained = { attempts: [], more: false, again: false, did_you_mean: null } satisfies Partial<FailedCall>;

export class FailedAttempts {
  readonly #answers: CallAnswers;
  readonly #renderer: Renderer;
  readonly #rendered = new Set<string>();
  #isLimitReached = false;

  /** Leaves out what takes more work than allowed, and marks the rendering as truncated. */
  constructor(answers: CallAnswers, renderer: Renderer) {
    this.#answers = answers;
    this.#renderer = renderer;
  }

  /** `level` is the number of failed calls around this one. */
  of(atom: OpenAtom, level = 0): FailedCall {
    const key = factKey(atom);
    const hasRules = rulesFor(atom, this.#answers).length > 0;
    const empty = { call: callOf(atom), storable: this.#answers.isStorable(atom), ...unexplained };
    if (this.#rendered.has(key)) return { ...empty, again: hasRules };
    if (level >= Math.min(levelsMax, this.#renderer.depthMax) || this.#isLimitReached)
      return { ...empty, more: hasRules };
    this.#rendered.add(key);
    const found = this.#withinLimits(() => this.#attempts(atom, level));
    return { ...empty, ...(found ?? { more: hasRules }) };
  }

  /** The best attempts; none if no rule could derive the atom at all. */
  #attempts(atom: OpenAtom, level: number): Partial<FailedCall> {
    const ordered = matchingRules(atom, this.#answers)
      .flatMap((matching) => this.#attempt(matching) ?? [])
      .sort(compareNearness);
    if (ordered.length === 0) return { did_you_mean: this.#suggest(atom) };
    const attempts: FailedAttempt[] = [];
    for (const partial of ordered.slice(0, level < wideLevels ? attemptsMax : 1)) {
      if (this.#isLimitReached || !this.#renderer.takeEntry()) break;
      const rendered = this.#withinLimits(() => this.#describe(partial, level + 1));
      if (rendered) attempts.push(rendered);
    }
    return { attempts, more: ordered.length > attempts.length };
  }

  #withinLimits<T>(body: () => T): T | undefined {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof WorkLimitReached)) throw error;
      this.#renderer.truncate(error.reason);
      this.#isLimitReached = true;
      return undefined;
    }
  }

  /** A String that would make a rule's head match and is similar to the given one. */
  #suggest(atom: OpenAtom): string | null {
    for (const [position, arg] of atom.args.entries()) {
      if (arg?.type !== "String") continue;
      const open = { ...atom, args: atom.args.with(position, undefined) };
      const known = matchingRules(open, this.#answers).flatMap(({ rule }) => {
        const term = rule.head[position];
        return term?.kind === "const" ? [term.value.id] : [];
      });
      const found = suggestion(arg.id, known);
      if (found !== undefined) return found;
    }
    return null;
  }

  /** The partial solution of the rule with the fewest missing conditions. */
  #attempt({ rule, bindings }: MatchingRule): PartialAttempt | undefined {
    let partials: PartialAttempt[] = [{ rule, bindings, held: [], many: [], missing: [], open: rule.body }];
    while (partials.some(({ open }) => open.length > 0)) {
      const next = partials.flatMap((partial) => (partial.open.length > 0 ? this.#extend(partial) : [partial]));
      next.sort((one, other) => one.missing.length - other.missing.length);
      partials = next.slice(0, beamMax);
    }
    // If a condition has too many solutions to try, possibly only the right choice is missing.
    return partials.find(({ missing }) => missing.length > 0) ?? partials.find(({ many }) => many.length > 0);
  }

  /**
   * Extends the partial solution by one condition: one that holds if there is one, calls before tests; otherwise one
   * that does not hold.
   */
  #extend(partial: PartialAttempt): PartialAttempt[] {
    this.#answers.step();
    const calls = partial.open.filter(({ kind }) => kind === "call");
    const candidates = byBoundness(calls.length > 0 ? calls : partial.open, partial.bindings);
    let unfollowed: ProgramLiteral | undefined;
    for (const literal of candidates) {
      const solutions = this.#solutions(literal, partial);
      if (solutions === "many") unfollowed ??= literal;
      else if (solutions.length > 0) {
        const rest = { held: [...partial.held, literal], open: without(partial.open, literal) };
        return solutions.map((bindings) => ({ ...partial, ...rest, bindings }));
      }
    }
    const literal = candidates.find((candidate) => candidate !== unfollowed) ?? unfollowed;
    if (!literal) return [];
    const open = without(partial.open, literal);
    if (literal !== unfollowed) return [{ ...partial, missing: [...partial.missing, literal], open }];
    return [{ ...partial, held: [...partial.held, literal], many: [...partial.many, literal], open }];
  }

  /** The first solutions of a condition. */
  #solutions(literal: ProgramLiteral, { rule, bindings }: PartialAttempt): readonly Substitution[] | "many" {
    try {
      return [...satisfy(literal, bodyOf(rule), bindings, this.#answers).take(beamMax)];
    } catch (error) {
      if (!(error instanceof WorkLimitReached && error.isOfOneCall)) throw error;
      this.#renderer.truncate(error.reason);
      return "many";
    }
  }

  #describe(partial: PartialAttempt, level: number): FailedAttempt {
    const { body } = partial.rule;
    return {
      rule: this.#renderer.rule(partial.rule),
      held: body.filter((literal) => partial.held.includes(literal)).map((literal) => this.#held(literal, partial)),
      missing: body
        .filter((literal) => partial.missing.includes(literal) && !isPointless(literal, partial))
        .map((literal) => this.#missing(literal, partial, level)),
    };
  }

  #held(literal: ProgramLiteral, { rule, bindings, many }: PartialAttempt): HeldCondition {
    const { now } = this.#answers;
    if (literal.kind !== "call") return { kind: "condition", text: formatLiteral(literal, bindings, now, rule.types) };
    const call = callOfLiteral(literal, bindings, now, rule.types);
    return { kind: "call", call, from: many.includes(literal) ? "many" : this.#origin(literal, bindings) };
  }

  #origin(literal: ProgramCall, bindings: Substitution): FactOrigin | "derived" {
    const atom = atomOf(literal, bindings, this.#answers.now);
    const origin = isClosed(atom) ? this.#answers.factOrigin(atom) : undefined;
    if (origin) return origin;
    return matchingRules(atom, this.#answers).some(({ rule }) => isPolicyFact(rule)) ? "policy" : "derived";
  }

  #missing(literal: ProgramLiteral, partial: PartialAttempt, level: number): MissingCondition {
    const { rule, bindings } = partial;
    const { now } = this.#answers;
    if (literal.kind !== "call") {
      const text = formatLiteral(literal, bindings, now, rule.types);
      return { kind: "test", text, because: this.#counterExample(literal, partial) };
    }
    const atom = atomOf(literal, bindings, now);
    if (rule.implicit || isClosed(atom)) return { kind: "call", ...this.of(atom, level) };
    // A call with open arguments has too much to explain, so it is only named, unless it is the question itself.
    const call = callOfLiteral(literal, bindings, now, rule.types);
    return { kind: "call", call, storable: this.#answers.isStorable(atom), ...unexplained };
  }

  /** The atoms that make a negated condition true; `null` for other conditions. */
  #counterExample(literal: ProgramLiteral, { rule, bindings }: PartialAttempt): string | null {
    if (literal.kind !== "not") return null;
    const inner = negated(literal.body, bodyOf(rule));
    const [found] = solutions(inner, bindings, this.#answers);
    if (!found) return null;
    return literal.body.map((part) => formatLiteral(part, found, this.#answers.now, inner.types)).join(" and ");
  }
}

/** Attempts with fewer missing calls come first: if all calls hold, only a test fails. */
function compareNearness(one: PartialAttempt, other: PartialAttempt): number {
  const missingCalls = ({ missing }: PartialAttempt): number => missing.filter(({ kind }) => kind === "call").length;
  return (
    missingCalls(one) - missingCalls(other) ||
    one.missing.length - other.missing.length ||
    other.held.length - one.held.length
  );
}

/** A comparison with a value that a missing call would have provided. */
function isPointless(literal: ProgramLiteral, { bindings, missing }: PartialAttempt): boolean {
  if (literal.kind !== "compare" || !missing.some(({ kind }) => kind === "call")) return false;
  return literalVariables(literal).some((variable) => isOpen(variable, bindings));
}

function byBoundness(literals: readonly ProgramLiteral[], bindings: Substitution): ProgramLiteral[] {
  const unknown = (literal: ProgramLiteral): number =>
    literal.kind === "call"
      ? literalVariables(literal).filter((variable) => bindings[variable] === undefined).length
      : 0;
  return literals.toSorted((one, other) => unknown(one) - unknown(other));
}

function without(literals: readonly ProgramLiteral[], literal: ProgramLiteral): ProgramLiteral[] {
  return literals.filter((other) => other !== literal);
}
