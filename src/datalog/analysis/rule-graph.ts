/**
 * Which rules may ask for which. What depends on what is told by the constants and types of heads and calls: `"a" if …` may ask for `"b"` without
 * asking for itself, although both are `has_role`.
 *
 * The nodes of the graph are distinct heads and distinct calls, not rules: thousands of rules with one head, asked for by as many, would have
 * millions of edges.
 */
import type { Span } from "../../polar/span.ts";
import { must } from "../../util/assert.ts";
import { ArgumentIndex, type ArgumentPattern, mayUnify } from "../ir/argument-index.ts";
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
  /** Of a head: the calls in the bodies of its rules. Of a call: the heads that it may meet. */
  readonly targets: RuleNode[];
  /** A rule with this head; none for a call. */
  readonly rule: Span | undefined;
}

interface FoundCall {
  readonly call: ProgramCall;
  readonly types: VariableTypes;
  /** Whether it stands under a `not`. */
  readonly isNegated: boolean;
}

export class RuleGraph {
  readonly #heads = new Map<string, RuleNode>();
  readonly #calls = new Map<string, RuleNode>();
  /** By predicate key. */
  readonly #index = new Map<string, ArgumentIndex<RuleNode>>();

  /** Of each head: those with the same number ask for each other. */
  readonly #components: ReadonlyMap<RuleNode, number>;

  constructor(rules: readonly ProgramRule[]) {
    for (const rule of rules) this.#addHead(rule);
    for (const rule of rules) {
      const { targets } = this.#headOf(rule);
      for (const { call, types } of callsIn(rule.body, rule.types, false)) targets.push(this.#callOf(call, types));
    }
    this.#components = stronglyConnected(this.#heads.values(), ({ targets }) => targets);
  }

  /** The calls of a rule by which it may ask for itself again, and the rule that each of them first leads to. */
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
 * The rules of the predicates that ask for themselves again, by whatever way: only among these can a rule ask for itself again, and most rules of
 * large policies are not among them.
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

/** What a negated conjunction says of types holds for the calls in it, as it does when they are specialised. */
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
  return JSON.stringify([predicate, args.map(({ types, id }) => [types && setKey(types), id])]);
}

const setKeys = new WeakMap<ReadonlySet<string>, string>();

/** Sets of thousands of types (all actors) are shared by thousands of rules. */
function setKey(types: ReadonlySet<string>): string {
  let key = setKeys.get(types);
  if (key === undefined) setKeys.set(types, (key = [...types].join()));
  return key;
}

export interface NegativeCycle {
  readonly rule: Span;
  /** The predicate that is negated. */
  readonly predicate: string;
  /** The rule through which the negation comes back. */
  readonly through: Span;
}

/** The first isNegated cycle of each rule that has one; empty for a stratified program. */
export function findNegativeCycles(program: DatalogProgram): NegativeCycle[] {
  const rules = cyclicRules(program);
  const graph = new RuleGraph(rules);
  return rules.flatMap((rule) => {
    for (const { call, isNegated, through } of graph.loopsOf(rule))
      if (isNegated) return [{ rule: rule.span, predicate: call.predicate, through }];
    return [];
  });
}
