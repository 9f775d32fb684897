/**
 * The dependency graph of rules, and the check that negation is stratified. For an edge, the constants and types of a
 * call and a head must unify: `"a" if "b"` does not depend on itself, although both are `has_role`.
 *
 * The nodes are distinct heads and distinct calls. A graph of rules would have millions of edges if thousands of rules
 * with the same head are called by thousands of others.
 */
import type { Span } from "../../polar/span.ts";
import { ArgumentIndex, type ArgumentPattern, mayUnify } from "../ir/argument-index.ts";
import { argumentPatternKey, listKey, stringKey } from "../ir/key.ts";
import {
  argumentPattern,
  type DatalogProgram,
  headPatterns,
  type ProgramCall,
  type ProgramLiteral,
  type ProgramRule,
  type VariableTypes,
} from "../ir/program.ts";
import { findCycles, stronglyConnected } from "./components.ts";

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
    for (const rule of rules) this.#headOf(rule);
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
    const args = headPatterns(rule);
    return this.#heads.getOrInsertComputed(keyOf(rule.predicate, args), () => {
      const node = { args, targets: [], rule: rule.span };
      this.#index.getOrInsertComputed(rule.predicate, () => new ArgumentIndex()).add(node, args);
      return node;
    });
  }

  #callOf({ predicate, args: terms }: ProgramCall, types: VariableTypes): RuleNode {
    const args = terms.map((term) => argumentPattern(term, types));
    return this.#calls.getOrInsertComputed(keyOf(predicate, args), () => {
      const candidates = this.#index.get(predicate)?.candidates(args) ?? [];
      return { args, targets: candidates.filter((head) => mayUnify(args, head.args)), rule: undefined };
    });
  }
}

/** The rules of predicates that depend on themselves, also indirectly: only these rules can. Most rules can't. */
export function cyclicRules(program: DatalogProgram): readonly ProgramRule[] {
  const called = new Map<string, Set<string>>();
  for (const { predicate, body, types } of program.rules) {
    const predicates = called.getOrInsertComputed(predicate, () => new Set());
    for (const { call } of callsIn(body, types, false)) predicates.add(call.predicate);
  }
  const { cyclic } = findCycles([...called.keys()], (predicate) => [...(called.get(predicate) ?? [])]);
  return program.rules.filter(({ predicate }) => cyclic.has(predicate));
}

function* callsIn(body: readonly ProgramLiteral[], types: VariableTypes, isNegated: boolean): Generator<FoundCall> {
  for (const literal of body) {
    if (literal.kind === "not") yield* callsIn(literal.body, narrowed(literal.body, types), true);
    if (literal.kind === "call") yield { call: literal, types, isNegated };
  }
}

/** The types of variables inside a negated conjunction. Its restrictions apply to its calls, as in specialisation. */
function narrowed(body: readonly ProgramLiteral[], around: VariableTypes): VariableTypes {
  const types = [...around];
  for (const literal of body) {
    if (literal.kind !== "type" || literal.term.kind !== "var") continue;
    const { index } = literal.term;
    types[index] = types[index]?.intersection(literal.types) ?? literal.types;
  }
  return types;
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

/** The first negative cycle of each rule that has one. Without one, negation is stratified: there is a least model. */
export function findNegativeCycles(program: DatalogProgram): NegativeCycle[] {
  const rules = cyclicRules(program);
  const graph = new RuleGraph(rules);
  return rules.flatMap((rule) => {
    for (const { call, isNegated, through } of graph.loopsOf(rule))
      if (isNegated) return [{ rule: rule.span, predicate: call.predicate, through }];
    return [];
  });
}
