/**
 * The dependency graph of rules, and the check that negation is stratified. An edge requires that the constants and
 * types of a call and a head unify: `"a" if "b"` does not depend on itself, although both are `has_role`.
 *
 * The nodes of the graph are distinct heads and distinct calls, not rules. A graph of rules would have millions of
 * edges if thousands of rules with the same head are called by thousands of others.
 */
import type { Span } from "../../polar/span.ts";
import { must } from "../../util/assert.ts";
import { ArgumentIndex, type ArgumentPattern, mayUnify } from "../ir/argument-index.ts";
import { argumentPatternKey, listKey, stringKey } from "../ir/key.ts";
import {
  argumentPattern,
  type DatalogProgram,
  type ProgramCall,
  type ProgramLiteral,
  type ProgramRule,
  type VariableTypes,
} from "../ir/program.ts";
import { stronglyConnected } from "./components.ts";

interface RuleNode {
  readonly args: readonly ArgumentPattern[];
  /** For a head, the calls in the bodies of its rules. For a call, the heads that may unify with it. */
  readonly targets: RuleNode[];
  /** A rule with this head; `undefined` for a call. */
  readonly rule: Span | undefined;
}

interface FoundCall {
  readonly call: ProgramCall;
  readonly types: VariableTypes;
  /** Whether it is under a `not`. */
  readonly isNegated: boolean;
}

export class RuleGraph {
  readonly #heads = new Map<string, RuleNode>();
  readonly #calls = new Map<string, RuleNode>();
  /** The heads of each predicate key. */
  readonly #index = new Map<string, ArgumentIndex<RuleNode>>();

  /** Heads with the same component number depend on each other. */
  readonly #components: ReadonlyMap<RuleNode, number>;

  constructor(rules: readonly ProgramRule[]) {
    for (const rule of rules) this.#addHead(rule);
    for (const rule of rules) {
      const { targets } = this.#headOf(rule);
      for (const { call, types } of callsIn(rule.body, rule.types, false)) targets.push(this.#callOf(call, types));
    }
    this.#components = stronglyConnected(this.#heads.values(), ({ targets }) => targets);
  }

  /** The calls through which a rule may depend on itself, each with the first rule that it leads to. */
  *loopsOf(rule: ProgramRule): Generator<FoundCall & { readonly through: Span }> {
    const own = this.#components.get(this.#headOf(rule));
    for (const found of callsIn(rule.body, rule.types, false)) {
      const through = this.#callOf(found.call, found.types).targets.find((head) => this.#components.get(head) === own);
      if (through?.rule) yield { ...found, through: through.rule };
    }
  }

  #headOf(rule: ProgramRule): RuleNode {
    return this.#heads.get(keyOf(rule.predicate, headArguments(rule))) ?? this.#addHead(rule);
  }

  #callOf({ predicate, args: terms }: ProgramCall, types: VariableTypes): RuleNode {
    const args = terms.map((term) => argumentPattern(term, types));
    const key = keyOf(predicate, args);
    const known = this.#calls.get(key);
    if (known) return known;
    const candidates = this.#index.get(predicate)?.candidates(args) ?? [];
    const node = { args, targets: candidates.filter((head) => mayUnify(args, head.args)), rule: undefined };
    this.#calls.set(key, node);
    return node;
  }

  #addHead(rule: ProgramRule): RuleNode {
    const args = headArguments(rule);
    const key = keyOf(rule.predicate, args);
    const known = this.#heads.get(key);
    if (known) return known;
    const node = { args, targets: [], rule: rule.span };
    this.#heads.set(key, node);
    let index = this.#index.get(rule.predicate);
    if (!index) this.#index.set(rule.predicate, (index = new ArgumentIndex()));
    index.add(node, args);
    return node;
  }
}

/**
 * The rules of predicates that depend on themselves, directly or indirectly. Only these rules can depend on themselves,
 * and most rules of a large policy are not among them.
 */
export function cyclicRules(program: DatalogProgram): readonly ProgramRule[] {
  const called = new Map<string, Set<string>>();
  for (const { predicate, body, types } of program.rules) {
    let predicates = called.get(predicate);
    if (predicates === undefined) called.set(predicate, (predicates = new Set()));
    for (const { call } of callsIn(body, types, false)) predicates.add(call.predicate);
  }
  const components = stronglyConnected(called.keys(), (predicate) => [...(called.get(predicate) ?? [])]);
  const sizes = new Map<number, number>();
  for (const component of components.values()) sizes.set(component, (sizes.get(component) ?? 0) + 1);
  const isCyclic = (predicate: string): boolean =>
    called.get(predicate)?.has(predicate) === true || must(sizes.get(must(components.get(predicate)))) > 1;
  return program.rules.filter(({ predicate }) => isCyclic(predicate));
}

function* callsIn(body: readonly ProgramLiteral[], types: VariableTypes, isNegated: boolean): Generator<FoundCall> {
  for (const literal of body) {
    if (literal.kind === "not") yield* callsIn(literal.body, narrowed(literal.body, types), true);
    if (literal.kind === "call") yield { call: literal, types, isNegated };
  }
}

/**
 * The types of variables inside a negated conjunction. Its restrictions apply to the calls in it, as in specialisation.
 */
function narrowed(body: readonly ProgramLiteral[], around: VariableTypes): VariableTypes {
  const types = [...around];
  for (const literal of body) {
    if (literal.kind !== "type" || literal.term.kind !== "var") continue;
    const { index } = literal.term;
    types[index] = types[index]?.intersection(literal.types) ?? literal.types;
  }
  return types;
}

function headArguments(rule: ProgramRule): ArgumentPattern[] {
  return rule.head.map((term) => argumentPattern(term, rule.types));
}

function keyOf(predicate: string, args: readonly ArgumentPattern[]): string {
  return listKey([stringKey(predicate), ...args.map(argumentPatternKey)]);
}

export interface NegativeCycle {
  readonly rule: Span;
  /** The negated predicate. */
  readonly predicate: string;
  /** The rule through which the negated predicate depends on the rule again. */
  readonly through: Span;
}

/**
 * The first negative cycle of each rule that has one. Negation must be stratified: without a rule that depends on its
 * own negation, the program has a least model.
 */
export function findNegativeCycles(program: DatalogProgram): NegativeCycle[] {
  const rules = cyclicRules(program);
  const graph = new RuleGraph(rules);
  return rules.flatMap((rule) => {
    for (const { call, isNegated, through } of graph.loopsOf(rule))
      if (isNegated) return [{ rule: rule.span, predicate: call.predicate, through }];
    return [];
  });
}
