/**
 * Failed attempts: why an atom is not true. They are the rules that could have derived it, with the values that their
 * satisfied conditions gave; rules with the fewest missing conditions come first. A missing condition that has rules of
 * its own is explained in turn.
 */
import { literalVariables, type ProgramCall, type ProgramLiteral, type ProgramRule } from "../../datalog/ir/program.ts";
import { suggestion } from "../../util/suggestion.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { factKey } from "../request/keys.ts";
import { formatLiteral, isClosed, type OpenAtom, openId, type Substitution, valueOf } from "./atom.ts";
import { type CallAnswers, WorkLimitReached } from "./call-answers.ts";
import type { ExplainedCall, FailedAttempt, FailedCall, HeldCondition, MissingCondition } from "./explanation.ts";
import { bodyOf, matchHead, negated, rulesFor, satisfy, solutions, type TypedBody } from "./proof-search.ts";
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
  readonly bindings: Substitution;
  readonly held: readonly ProgramLiteral[];
  /** The satisfied conditions with so many solutions that none was chosen. */
  readonly many: readonly ProgramLiteral[];
  readonly missing: readonly ProgramLiteral[];
  readonly open: readonly ProgramLiteral[];
}

export class FailedAttempts {
  readonly #active: ActivePolicy;
  readonly #answers: CallAnswers;
  readonly #renderer: Renderer;
  readonly #rendered = new Set<string>();
  #isLimitReached = false;

  /** Leaves out what takes more work than allowed, and marks the rendering as truncated. */
  constructor(active: ActivePolicy, answers: CallAnswers, renderer: Renderer) {
    this.#active = active;
    this.#answers = answers;
    this.#renderer = renderer;
  }

  of(atom: OpenAtom): FailedCall {
    return this.#failedCall(atom, 0);
  }

  #failedCall(atom: OpenAtom, level: number): FailedCall {
    const key = factKey(atom);
    const rules = rulesFor(atom, this.#active);
    const empty: FailedCall = {
      call: callOf(atom),
      storable: this.#answers.isStorable(atom),
      attempts: [],
      more: false,
      again: false,
      did_you_mean: null,
    };
    if (this.#rendered.has(key)) return { ...empty, again: rules.length > 0 };
    if (level >= Math.min(levelsMax, this.#renderer.depthMax) || this.#isLimitReached)
      return { ...empty, more: rules.length > 0 };
    this.#rendered.add(key);
    const found = this.#withinLimits(() => this.#attempts(atom, rules, level));
    return { ...empty, ...(found ?? { more: rules.length > 0 }) };
  }

  /** The best attempts; none if no rule could derive the atom at all. */
  #attempts(
    atom: OpenAtom,
    rules: readonly ProgramRule[],
    level: number,
  ): Pick<FailedCall, "attempts" | "more"> | Pick<FailedCall, "did_you_mean"> {
    const tried = rules.flatMap((rule) => {
      const start = matchHead(rule, atom, this.#answers);
      return start ? this.#attempt(rule, start) : [];
    });
    const ordered = tried.sort((one, other) => compareNearness(one.partial, other.partial));
    if (ordered.length === 0) return { did_you_mean: this.#suggest(atom) };
    const attempts: FailedAttempt[] = [];
    for (const { rule, partial } of ordered.slice(0, level < wideLevels ? attemptsMax : 1)) {
      if (this.#isLimitReached || !this.#renderer.takeEntry()) break;
      const rendered = this.#withinLimits(() => this.#describe(rule, partial, level + 1));
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
      const known = rulesFor(open, this.#active).flatMap((rule) => {
        const term = rule.head[position];
        return term?.kind === "const" && matchHead(rule, open, this.#answers) ? [term.value.id] : [];
      });
      const found = suggestion(arg.id, known);
      if (found !== undefined) return found;
    }
    return null;
  }

  /** The partial solution of the rule with the fewest missing conditions. */
  #attempt(rule: ProgramRule, start: Substitution): { readonly rule: ProgramRule; readonly partial: PartialAttempt }[] {
    let partials: PartialAttempt[] = [{ bindings: start, held: [], many: [], missing: [], open: rule.body }];
    while (partials.some(({ open }) => open.length > 0)) {
      const next = partials.flatMap((partial) => (partial.open.length > 0 ? this.#extend(partial, rule) : [partial]));
      next.sort((one, other) => one.missing.length - other.missing.length);
      partials = next.slice(0, beamMax);
    }
    // If a condition has too many solutions to try, possibly only the right choice is missing.
    const best = partials.find(({ missing }) => missing.length > 0) ?? partials.find(({ many }) => many.length > 0);
    return best ? [{ rule, partial: best }] : [];
  }

  /**
   * Extends the partial solution by one condition: one that holds if there is one, calls before tests; otherwise one
   * that does not hold.
   */
  #extend(partial: PartialAttempt, rule: ProgramRule): PartialAttempt[] {
    this.#answers.step();
    const body: TypedBody = { ...bodyOf(rule), literals: rule.body };
    const calls = partial.open.filter(({ kind }) => kind === "call");
    const candidates = byBoundness(calls.length > 0 ? calls : partial.open, partial.bindings);
    let unfollowed: ProgramLiteral | undefined;
    for (const literal of candidates) {
      const solutions = this.#solutions(literal, body, partial.bindings);
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
  #solutions(literal: ProgramLiteral, body: TypedBody, start: Substitution): readonly Substitution[] | "many" {
    const found: Substitution[] = [];
    try {
      for (const bindings of satisfy(literal, body, start, this.#answers)) {
        found.push(bindings);
        if (found.length >= beamMax) break;
      }
    } catch (error) {
      if (!(error instanceof WorkLimitReached && error.isOfOneCall)) throw error;
      this.#renderer.truncate(error.reason);
      return "many";
    }
    return found;
  }

  #describe(rule: ProgramRule, partial: PartialAttempt, level: number): FailedAttempt {
    const inOrder = (literals: readonly ProgramLiteral[]): ProgramLiteral[] =>
      rule.body.filter((literal) => literals.includes(literal));
    return {
      rule: this.#renderer.rule(rule),
      held: inOrder(partial.held).map((literal) => this.#held(literal, rule, partial)),
      missing: inOrder(partial.missing)
        .filter((literal) => !isPointless(literal, partial))
        .map((literal) => this.#missing(literal, rule, partial.bindings, level)),
    };
  }

  #held(literal: ProgramLiteral, rule: ProgramRule, { bindings, many }: PartialAttempt): HeldCondition {
    const { now } = this.#answers;
    if (literal.kind !== "call") return { kind: "condition", text: formatLiteral(literal, bindings, now, rule.types) };
    const call = this.#call(literal, rule, bindings);
    return { kind: "call", call, from: many.includes(literal) ? "many" : this.#origin(literal, bindings) };
  }

  #origin(literal: ProgramCall, bindings: Substitution): Extract<HeldCondition, { kind: "call" }>["from"] {
    const atom = atomOf(literal, bindings, this.#answers);
    const origin = isClosed(atom) ? this.#answers.factOrigin(atom) : undefined;
    if (origin) return origin;
    const facts = rulesFor(atom, this.#active).filter(isPolicyFact);
    return facts.some((fact) => matchHead(fact, atom, this.#answers)) ? "policy" : "derived";
  }

  #missing(literal: ProgramLiteral, rule: ProgramRule, bindings: Substitution, level: number): MissingCondition {
    if (literal.kind !== "call") {
      const text = formatLiteral(literal, bindings, this.#answers.now, rule.types);
      return { kind: "test", text, because: this.#counterExample(literal, rule, bindings) ?? null };
    }
    const atom = atomOf(literal, bindings, this.#answers);
    if (rule.implicit || !atom.args.includes(undefined)) return { kind: "call", ...this.#failedCall(atom, level) };
    // A call with open arguments has too much to explain, so it is only named, unless it is the question itself.
    const rendered = { attempts: [], more: false, again: false, did_you_mean: null };
    const storable = this.#answers.isStorable(atom);
    return { kind: "call", call: this.#call(literal, rule, bindings), storable, ...rendered };
  }

  #call(literal: ProgramCall, rule: ProgramRule, bindings: Substitution): ExplainedCall {
    return callOfLiteral(literal, bindings, this.#answers.now, rule.types);
  }

  /** The atoms that make a negated condition true. */
  #counterExample(literal: ProgramLiteral, rule: ProgramRule, bindings: Substitution): string | undefined {
    if (literal.kind !== "not") return undefined;
    const inner = negated(literal.body, bodyOf(rule));
    const [found] = solutions(inner, bindings, this.#answers);
    if (!found) return undefined;
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
  return literalVariables(literal).some((variable) => (bindings[variable]?.id ?? openId) === openId);
}

function atomOf(literal: ProgramCall, bindings: Substitution, answers: CallAnswers): OpenAtom {
  const args = literal.args.map((arg) => {
    const value = valueOf(arg, bindings, answers.now);
    return value?.id === openId ? undefined : value;
  });
  return { predicate: literal.predicate, args };
}

function byBoundness(literals: readonly ProgramLiteral[], bindings: Substitution): ProgramLiteral[] {
  const unknown = (literal: ProgramLiteral): number =>
    literal.kind === "call"
      ? literal.args.filter((arg) => arg.kind === "var" && bindings[arg.index] === undefined).length
      : 0;
  return literals.toSorted((one, other) => unknown(one) - unknown(other));
}

function without(literals: readonly ProgramLiteral[], literal: ProgramLiteral): ProgramLiteral[] {
  return literals.filter((other) => other !== literal);
}
