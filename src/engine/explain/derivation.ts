/**
 * Why something is true: the smallest proof, by height, and of those the first in the order of the policy. All that could be a step of a proof is
 * looked at level by level from the question down, and heights go up from the facts, so that a proof is well-founded also where rules and data
 * go in circles, and a long chain costs no more than its length.
 */
import type { ProgramLiteral, ProgramRule } from "../../datalog/ir/program.ts";
import { must } from "../../util/assert.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import type { CallAnswers } from "./call-answers.ts";
import { factKey } from "../request/keys.ts";
import { type GroundAtom, type Substitution, formatLiteral, valueOf } from "./atom.ts";
import type { FactOrigin } from "./explanation.ts";
import { bodyOf, matchHead, rulesFor, solutions } from "./proof-search.ts";

export type Proof =
  | { readonly kind: "fact"; readonly atom: GroundAtom; readonly from: Exclude<FactOrigin, "policy"> }
  | { readonly kind: "rule"; readonly atom: GroundAtom; readonly rule: ProgramRule; readonly parts: readonly Proof[] }
  /** A test that held, such as `not is_banned(User{"ann"})`. */
  | { readonly kind: "condition"; readonly text: string };

/** Something true. */
interface ProofNode {
  readonly atom: GroundAtom;
  /** Of the smallest proof so far; infinite where there is none yet. */
  height: number;
  /** `undefined` until its rules were looked at. */
  ways: RuleApplication[] | undefined;
  /** Ways of other nodes that need this one. */
  readonly users: RuleApplication[];
  proof: Proof | undefined;
}

/** One rule that gives a node, with what its conditions ask for. */
interface RuleApplication {
  readonly node: ProofNode;
  readonly rule: ProgramRule;
  readonly parts: readonly (ProofNode | { readonly text: string })[];
}

export class Derivations {
  readonly #active: ActivePolicy;
  readonly #answers: CallAnswers;
  readonly #nodes = new Map<string, ProofNode>();

  constructor(active: ActivePolicy, answers: CallAnswers) {
    this.#active = active;
    this.#answers = answers;
  }

  /** The proof, `undefined` where there is none. Throws `Exhausted`. */
  of(atom: GroundAtom): Proof | undefined {
    const root = this.#node(atom);
    const seen = new Set([root]);
    let level = [root];
    // A proof of some height has no rule further down than that.
    for (let depth = 0; level.length > 0 && root.height > depth; depth += 1) {
      const below = level.flatMap((node) => this.#waysOf(node).flatMap(({ parts }) => parts.filter(isNode)));
      level = [];
      for (const node of below) {
        if (seen.has(node) || node.height === 0) continue;
        seen.add(node);
        level.push(node);
      }
    }
    return root.height === Infinity ? undefined : proofOf(root);
  }

  #node(atom: GroundAtom): ProofNode {
    const key = factKey(atom);
    let node = this.#nodes.get(key);
    if (!node) {
      const from = this.#answers.factOrigin(atom);
      const proof = from && ({ kind: "fact", atom, from } as const);
      node = { atom, height: proof ? 0 : Infinity, ways: proof && [], users: [], proof };
      this.#nodes.set(key, node);
    }
    return node;
  }

  #waysOf(node: ProofNode): readonly RuleApplication[] {
    if (node.ways) return node.ways;
    const ways: RuleApplication[] = [];
    for (const rule of rulesFor(node.atom, this.#active)) {
      const start = matchHead(rule, node.atom, this.#answers);
      if (!start) continue;
      for (const bindings of solutions(bodyOf(rule), start, this.#answers)) {
        const parts = rule.body.map((literal) => this.#part(literal, rule, bindings));
        const way = { node, rule, parts };
        for (const part of new Set(parts.filter(isNode))) part.users.push(way);
        ways.push(way);
      }
    }
    node.ways = ways;
    settle(ways);
    return ways;
  }

  #part(literal: ProgramLiteral, rule: ProgramRule, bindings: Substitution): RuleApplication["parts"][number] {
    const { now } = this.#answers;
    if (literal.kind !== "call") return { text: formatLiteral(literal, bindings, now, rule.types) };
    const args = literal.args.map((arg) => must(valueOf(arg, bindings, now), "a solution binds all arguments"));
    return this.#node({ predicate: literal.predicate, args });
  }
}

function isNode(part: RuleApplication["parts"][number]): part is ProofNode {
  return "atom" in part;
}

function heightOf({ parts }: RuleApplication): number {
  return 1 + Math.max(0, ...parts.map((part) => (isNode(part) ? part.height : 0)));
}

/** Lowers the heights that these ways allow to be lower, and those that follow. */
function settle(ways: readonly RuleApplication[]): void {
  const waiting = [...ways];
  for (let way = waiting.shift(); way; way = waiting.shift()) {
    const height = heightOf(way);
    if (height >= way.node.height) continue;
    way.node.height = height;
    waiting.push(...way.node.users);
  }
}

/** Of the lowest way, which leads to lower nodes only. */
function proofOf(node: ProofNode): Proof {
  if (node.proof) return node.proof;
  const way = must(node.ways?.find((candidate) => heightOf(candidate) === node.height));
  const parts = way.parts.map((part): Proof => (isNode(part) ? proofOf(part) : { kind: "condition", text: part.text }));
  return { kind: "rule", atom: node.atom, rule: way.rule, parts };
}
