/**
 * Negation must be stratified: no rule may depend on the negation of something that depends on it, or the least model would not exist. What
 * depends on what is told by the constants and types of heads and calls, so `"a" if …` may negate `"b"` although both are `has_role`.
 *
 * The nodes of the graph are distinct heads and distinct calls, not rules: thousands of rules with one head, asked for by as many, would have
 * millions of edges.
 */
import type { Span } from "../polar/span.ts";
import { ArgumentIndex, mayMeet } from "./argument-index.ts";
import { stronglyConnected } from "./components.ts";
import { argumentOf, type Argument } from "./fact-types.ts";
import type { Program, ProgramLiteral, ProgramRule } from "./program.ts";

export interface NegativeCycle {
  readonly rule: Span;
  /** The predicate that is negated. */
  readonly predicate: string;
  /** The rule through which the negation comes back. */
  readonly through: Span;
}

interface Node {
  readonly args: readonly Argument[];
  /** Of a head: the calls in the bodies of its rules. Of a call: the heads that it may meet. */
  readonly targets: Node[];
  /** A rule with this head; none for a call. */
  readonly rule: Span | undefined;
}

/** The first negative cycle of each rule that has one; empty for a stratified program. */
export function findNegativeCycles(program: Program): NegativeCycle[] {
  const graph = new Graph(program);
  const component = stronglyConnected(graph.heads.values(), ({ targets }) => targets);
  return program.rules.flatMap((rule) => {
    const own = component.get(graph.headOf(rule));
    for (const { call, types, negative } of callsIn(rule.body, rule.types, false)) {
      const through = negative && graph.callOf(call, types).targets.find((head) => component.get(head) === own);
      if (through && through.rule) return [{ rule: rule.span, predicate: call.predicate, through: through.rule }];
    }
    return [];
  });
}

type Call = Extract<ProgramLiteral, { kind: "call" }>;

class Graph {
  readonly heads = new Map<string, Node>();
  readonly #calls = new Map<string, Node>();
  /** By predicate key. */
  readonly #index = new Map<string, ArgumentIndex<Node>>();

  constructor(program: Program) {
    for (const rule of program.rules) this.#addHead(rule);
    for (const rule of program.rules) {
      const { targets } = this.headOf(rule);
      for (const { call, types } of callsIn(rule.body, rule.types, false)) targets.push(this.callOf(call, types));
    }
  }

  headOf(rule: ProgramRule): Node {
    return this.heads.get(keyOf(rule.predicate, headArguments(rule))) ?? this.#addHead(rule);
  }

  callOf({ predicate, args: terms }: Call, types: Types): Node {
    const args = terms.map((term) => argumentOf(term, types));
    const key = keyOf(predicate, args);
    const known = this.#calls.get(key);
    if (known) return known;
    const candidates = this.#index.get(predicate)?.candidates(args) ?? [];
    const node = { args, targets: candidates.filter((head) => mayMeet(args, head.args)), rule: undefined };
    this.#calls.set(key, node);
    return node;
  }

  #addHead(rule: ProgramRule): Node {
    const args = headArguments(rule);
    const key = keyOf(rule.predicate, args);
    const known = this.heads.get(key);
    if (known) return known;
    const node = { args, targets: [], rule: rule.span };
    this.heads.set(key, node);
    let index = this.#index.get(rule.predicate);
    if (!index) this.#index.set(rule.predicate, (index = new ArgumentIndex()));
    index.add(node, args);
    return node;
  }
}

/** By variable: what it may be, `undefined` for anything. */
type Types = ProgramRule["types"];

interface FoundCall {
  readonly call: Call;
  readonly types: Types;
  /** Whether it stands under a `not`. */
  readonly negative: boolean;
}

function* callsIn(body: readonly ProgramLiteral[], types: Types, negative: boolean): Generator<FoundCall> {
  for (const literal of body) {
    if (literal.kind === "not") yield* callsIn(literal.body, narrowed(literal.body, types), true);
    if (literal.kind === "call") yield { call: literal, types, negative };
  }
}

/** What a negated conjunction says of types holds for the calls in it, as it does when they are specialised. */
function narrowed(body: readonly ProgramLiteral[], around: Types): Types {
  const types = [...around];
  for (const literal of body) {
    if (literal.kind !== "type" || literal.term.kind !== "var") continue;
    const { index } = literal.term;
    types[index] = types[index]?.intersection(literal.types) ?? literal.types;
  }
  return types;
}

function headArguments(rule: ProgramRule): Argument[] {
  return rule.head.map((term) => argumentOf(term, rule.types));
}

function keyOf(predicate: string, args: readonly Argument[]): string {
  return JSON.stringify([predicate, args.map(({ types, id }) => [types && setKey(types), id])]);
}

const setKeys = new WeakMap<ReadonlySet<string>, string>();

/** Sets of thousands of types (all actors) are shared by thousands of rules. */
function setKey(types: ReadonlySet<string>): string {
  let key = setKeys.get(types);
  if (key === undefined) setKeys.set(types, (key = [...types].join()));
  return key;
}
