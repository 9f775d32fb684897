/**
 * Converts the rules of a checked policy to Datalog rules: the disjunctive normal form of each body, with one rule per
 * alternative. `or` and `in` make alternatives; `not` of several becomes one `not` for each. Equalities of the positive
 * conjunction are substituted, so that constants reach all arguments where they can select an index or a table.
 */
import type { Expression, Param, Policy, Rule, Term } from "../../polar/policy.ts";
import type { Span } from "../../polar/span.ts";
import { unreachable } from "../../util/assert.ts";
import { budget, TooLarge } from "../analysis/too-large.ts";
import { ArgumentIndex } from "../ir/argument-index.ts";
import {
  type DatalogProgram,
  headPatterns,
  predicateKey,
  type ProgramLiteral,
  type ProgramRule,
  type ProgramTerm,
  requiredTypes,
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

/** Here, `equal` and `type` also occur outside of `not`. */
type Conjunction = readonly ProgramLiteral[];

/** Throws `TooLarge`. */
export function normalise(policy: Policy, universe: Universe, limits: SizeLimits): DatalogProgram {
  const spend = budget(limits.conditionsMax, "alternatives");
  const rules = policy.rules.flatMap((rule) => {
    const normalised = normaliseRule(rule, universe, limits);
    for (const { body } of normalised) spend(body.length + 1, rule.span);
    return normalised;
  });
  return programOf(rules);
}

/** The program with these rules. */
export function programOf(rules: readonly ProgramRule[]): DatalogProgram {
  const heads = new Map<string, ArgumentIndex<ProgramRule>>();
  for (const rule of rules)
    heads.getOrInsertComputed(rule.predicate, () => new ArgumentIndex()).add(rule, headPatterns(rule));
  return { rules, heads };
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
        return this.#variable(term.name);
      case "literal":
        return { kind: "const", value: { type: term.type, id: term.id } };
      case "now":
        return { kind: "now" };
      default:
        return unreachable(term);
    }
  }

  paramType({ term, type }: Param): ProgramLiteral[] {
    if (type === undefined || term.kind !== "variable") return [];
    return [{ kind: "type", term: this.term(term), types: this.#universe.concrete(type) }];
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
        return [[{ kind: "type", term: this.#variable(expression.variable), types }]];
      }
      case "call": {
        const predicate = predicateKey(expression.predicate, expression.args.length);
        return [[{ kind: "call", predicate, args: expression.args.map((arg) => this.term(arg)) }]];
      }
      case "equal":
        return [[{ kind: "equal", left: this.term(expression.left), right: this.term(expression.right) }]];
      case "compare": {
        const { operator, left, right } = expression;
        return [[{ kind: "compare", operator, left: this.term(left), right: this.term(right) }]];
      }
      default:
        return unreachable(expression);
    }
  }

  /** `not (a or b)` is `not a and not b`. A `not` of a condition that is always true has no alternative. */
  #negation(operand: Expression): Conjunction[] {
    const inner = this.alternatives(operand);
    if (inner.some((conjunction) => conjunction.length === 0)) return [];
    return [inner.map((body) => ({ kind: "not", body }))];
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

  #variable(name: string): ProgramTerm {
    return { kind: "var", index: this.#indexes.getOrInsertComputed(name, () => this.#indexes.size) };
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
  const timed: ProgramLiteral[] = [];
  for (const conjunct of conjunction) {
    if (conjunct.kind !== "equal") continue;
    const left = resolve(conjunct.left);
    const right = resolve(conjunct.right);
    if (left.kind === "var") {
      if (!sameTerm(left, right)) bound[left.index] = right;
    } else if (right.kind === "var") bound[right.index] = left;
    else if (sameTerm(left, right)) continue;
    else if (left.kind === "now" || right.kind === "now") timed.push({ kind: "equal", left, right });
    else return undefined;
  }
  for (const conjunct of conjunction) {
    for (const [term, allowed] of requiredTypes(conjunct)) {
      const target = resolve(term);
      if (target.kind === "var") types[target.index] = types[target.index]?.intersection(allowed) ?? allowed;
      else if (!allowed.has(target.kind === "now" ? "Integer" : target.value.type)) return undefined;
    }
  }
  if (types.some((allowed) => allowed?.size === 0)) return undefined;
  const body = conjunction
    .filter(({ kind }) => kind !== "type" && kind !== "equal")
    .map((literal) => substitute(literal, resolve));
  // An equality with the clock (`@current_unix_time = 5`) is evaluated at run time.
  return { head: head.map(resolve), body: [...body, ...timed], types };
}

function sameTerm(left: ProgramTerm, right: ProgramTerm): boolean {
  if (left.kind === "var") return right.kind === "var" && left.index === right.index;
  if (left.kind === "now") return right.kind === "now";
  return right.kind === "const" && left.value.type === right.value.type && left.value.id === right.value.id;
}
