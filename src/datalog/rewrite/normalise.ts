/**
 * Converts the rules of a checked policy to Datalog rules. A body becomes its disjunctive normal form, with one rule
 * per alternative: `or` and the elements of `in` are alternatives, and `not` of several alternatives becomes one `not`
 * for each. Then equalities of the positive conjunction are substituted in the whole rule, so that constants reach all
 * arguments where they can select an index or a table.
 */
import type { Expression, Param, Policy, Rule, Term } from "../../polar/policy.ts";
import type { Span } from "../../polar/span.ts";
import { unreachable } from "../../util/assert.ts";
import { Budget, TooLarge } from "../analysis/too-large.ts";
import { ArgumentIndex } from "../ir/argument-index.ts";
import {
  argumentPattern,
  type DatalogProgram,
  predicateKey,
  type ProgramLiteral,
  type ProgramRule,
  type ProgramTerm,
  substitute,
} from "../ir/program.ts";
import type { Universe } from "../ir/universe.ts";

export interface SizeLimits {
  /** Alternatives of one rule. */
  readonly alternativesMax: number;
  /** Conditions of one alternative. */
  readonly ruleConditionsMax: number;
  /** Heads and conditions of all alternatives of all rules. */
  readonly conditionsMax: number;
}

type Conjunct =
  ProgramLiteral | { readonly kind: "matches"; readonly index: number; readonly types: ReadonlySet<string> };
type Conjunction = readonly Conjunct[];

/** Throws `TooLarge`. */
export function normalise(policy: Policy, universe: Universe, limits: SizeLimits): DatalogProgram {
  const budget = new Budget(limits.conditionsMax, "alternatives");
  const rules = policy.rules.flatMap((rule) => {
    const normalised = normaliseRule(rule, universe, limits);
    for (const { body } of normalised) budget.spend(body.length + 1, rule.span);
    return normalised;
  });
  const groups = Map.groupBy(rules, ({ predicate }) => predicate);
  return { rules, heads: new Map([...groups].map(([predicate, group]) => [predicate, indexOf(group)])) };
}

function indexOf(rules: readonly ProgramRule[]): ArgumentIndex<ProgramRule> {
  const index = new ArgumentIndex<ProgramRule>();
  for (const rule of rules) {
    index.add(
      rule,
      rule.head.map((term) => argumentPattern(term, rule.types)),
    );
  }
  return index;
}

function normaliseRule(rule: Rule, universe: Universe, limits: SizeLimits): ProgramRule[] {
  const scope = new Scope(rule.span, universe, limits);
  const head = rule.params.map((param) => scope.term(param.term));
  const typed = rule.params.flatMap((param) => scope.paramType(param));
  const alternatives = rule.body ? scope.alternatives(rule.body) : [[]];
  if (alternatives.some((conjunction) => sizeOf(conjunction) > limits.ruleConditionsMax))
    throw new TooLarge("conditions", rule.span);
  return alternatives.flatMap((conjunction) => {
    const built = build(head, [...typed, ...conjunction], scope.variableCount());
    return built
      ? [{ ...built, predicate: predicateKey(rule.predicate, head.length), span: rule.span, implicit: rule.implicit }]
      : [];
  });
}

/** The number of conditions, including those inside `not`. */
function sizeOf(conjunction: Conjunction): number {
  return conjunction.reduce((sum, conjunct) => sum + (conjunct.kind === "not" ? sizeOf(conjunct.body) : 1), 0);
}

/** The variables of one rule and its alternatives. */
class Scope {
  readonly #indexes = new Map<string, number>();
  readonly #span: Span;
  readonly #universe: Universe;
  readonly #limits: SizeLimits;

  constructor(span: Span, universe: Universe, limits: SizeLimits) {
    this.#span = span;
    this.#limits = limits;
    this.#universe = universe;
  }

  variableCount(): number {
    return this.#indexes.size;
  }

  term(term: Term): ProgramTerm {
    switch (term.kind) {
      case "variable":
        return { kind: "var", index: this.#index(term.name) };
      case "literal":
        return { kind: "const", value: { type: term.type, id: term.id } };
      case "now":
        return { kind: "now" };
      default:
        return unreachable(term);
    }
  }

  paramType(param: Param): Conjunct[] {
    if (param.type === undefined || param.term.kind !== "variable") return [];
    return [{ kind: "matches", index: this.#index(param.term.name), types: this.#universe.concrete(param.type) }];
  }

  alternatives(expression: Expression): Conjunction[] {
    switch (expression.kind) {
      case "and":
        return expression.operands
          .map((operand) => this.alternatives(operand))
          .reduce((left, right) => this.#product(left, right), [[]]);
      case "or":
        return this.#bounded(expression.operands.flatMap((operand) => this.alternatives(operand)));
      case "not":
        return this.#negation(expression.operand);
      case "boolean":
        return expression.value ? [[]] : [];
      case "in": {
        const term = this.term(expression.term);
        return this.#bounded(
          expression.values.map((value) => [{ kind: "equal", left: term, right: this.term(value) }]),
        );
      }
      case "matches": {
        // Oso Cloud does not define `matches!`. Here it requires exactly this type, so an abstract type matches no
        // value.
        const concrete = this.#universe.concrete(expression.type);
        const types = expression.exact ? new Set([expression.type].filter((type) => concrete.has(type))) : concrete;
        return [[{ kind: "matches", index: this.#index(expression.variable), types }]];
      }
      default:
        return [[this.#single(expression)]];
    }
  }

  #single(expression: Extract<Expression, { kind: "call" | "equal" | "compare" }>): ProgramLiteral {
    switch (expression.kind) {
      case "call": {
        const predicate = predicateKey(expression.predicate, expression.args.length);
        return { kind: "call", predicate, args: expression.args.map((arg) => this.term(arg)) };
      }
      case "equal":
        return { kind: "equal", left: this.term(expression.left), right: this.term(expression.right) };
      case "compare": {
        const { operator, left, right } = expression;
        return { kind: "compare", operator, left: this.term(left), right: this.term(right) };
      }
      default:
        return unreachable(expression);
    }
  }

  /** `not (a or b)` is `not a and not b`. A `not` of a condition that is always true has no alternative. */
  #negation(operand: Expression): Conjunction[] {
    const inner = this.alternatives(operand);
    if (inner.some((conjunction) => conjunction.length === 0)) return [];
    return [
      inner.map((conjunction): ProgramLiteral => ({
        kind: "not",
        body: conjunction.map((conjunct): ProgramLiteral =>
          conjunct.kind === "matches"
            ? { kind: "type", term: { kind: "var", index: conjunct.index }, types: conjunct.types }
            : conjunct,
        ),
      })),
    ];
  }

  #product(left: readonly Conjunction[], right: readonly Conjunction[]): Conjunction[] {
    if (left.length * right.length > this.#limits.alternativesMax) throw new TooLarge("alternatives", this.#span);
    const longest = (conjunctions: readonly Conjunction[]): number =>
      conjunctions.reduce((most, { length }) => Math.max(most, length), 0);
    if (longest(left) + longest(right) > this.#limits.ruleConditionsMax) throw new TooLarge("conditions", this.#span);
    return left.flatMap((first) => right.map((second) => [...first, ...second]));
  }

  #bounded(alternatives: Conjunction[]): Conjunction[] {
    if (alternatives.length > this.#limits.alternativesMax) throw new TooLarge("alternatives", this.#span);
    return alternatives;
  }

  #index(name: string): number {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    this.#indexes.set(name, this.#indexes.size);
    return this.#indexes.size - 1;
  }
}

/** Substitutes equalities and collects types. `undefined` if the conjunction can't be true. */
function build(
  head: readonly ProgramTerm[],
  conjunction: Conjunction,
  variables: number,
): Pick<ProgramRule, "head" | "body" | "types"> | undefined {
  const bound: (ProgramTerm | undefined)[] = new Array(variables).fill(undefined);
  const resolve = (term: ProgramTerm): ProgramTerm => {
    const target = term.kind === "var" ? bound[term.index] : undefined;
    return target ? resolve(target) : term;
  };
  const types: (ReadonlySet<string> | undefined)[] = new Array(variables).fill(undefined);
  const now: ProgramTerm[] = [];
  for (const conjunct of conjunction) {
    if (conjunct.kind !== "equal") continue;
    const left = resolve(conjunct.left);
    const right = resolve(conjunct.right);
    if (left.kind === "var") {
      if (!sameTerm(left, right)) bound[left.index] = right;
    } else if (right.kind === "var") bound[right.index] = left;
    else if (left.kind === "now" || right.kind === "now") now.push(left, right);
    else if (!sameTerm(left, right)) return undefined;
  }
  for (const conjunct of conjunction) {
    const narrowed = narrowing(conjunct);
    for (const [term, allowed] of narrowed) {
      const target = resolve(term);
      if (target.kind === "var") types[target.index] = meet(types[target.index], allowed);
      else if (!allowed.has(target.kind === "now" ? "Integer" : target.value.type)) return undefined;
    }
  }
  if (types.some((allowed) => allowed?.size === 0)) return undefined;
  const body = conjunction.flatMap((conjunct) => (isLiteral(conjunct) ? [substitute(conjunct, resolve)] : []));
  // An equality with the clock (`@current_unix_time = 5`) is evaluated at run time.
  for (let index = 0; index < now.length; index += 2) {
    const [left, right] = [now[index], now[index + 1]];
    if (left && right && !sameTerm(left, right)) body.push({ kind: "equal", left, right });
  }
  return { head: head.map(resolve), body, types };
}

function isLiteral(conjunct: Conjunct): conjunct is ProgramLiteral {
  return conjunct.kind !== "matches" && conjunct.kind !== "equal";
}

const integer: ReadonlySet<string> = new Set(["Integer"]);

/** The types that a conjunct requires of its terms. */
function narrowing(conjunct: Conjunct): (readonly [ProgramTerm, ReadonlySet<string>])[] {
  if (conjunct.kind === "matches") return [[{ kind: "var", index: conjunct.index }, conjunct.types]];
  if (conjunct.kind === "compare" && conjunct.operator !== "!=") {
    return [
      [conjunct.left, integer],
      [conjunct.right, integer],
    ];
  }
  return [];
}

function meet(left: ReadonlySet<string> | undefined, right: ReadonlySet<string>): ReadonlySet<string> {
  return left ? new Set([...left].filter((type) => right.has(type))) : right;
}

function sameTerm(left: ProgramTerm, right: ProgramTerm): boolean {
  if (left.kind === "var") return right.kind === "var" && left.index === right.index;
  if (left.kind === "now") return right.kind === "now";
  return right.kind === "const" && left.value.type === right.value.type && left.value.id === right.value.id;
}
