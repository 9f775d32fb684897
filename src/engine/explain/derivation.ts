/**
 * Derivations: why an atom is true. Finds the proof with the smallest height and, among those, the first in the order
 * of the policy. The search visits all possible steps level by level from the question down, and heights propagate from
 * the facts up. So a proof is well-founded even if rules and data are cyclic, and a long chain costs only its length.
 */
import type { ProgramLiteral, ProgramRule } from "../../datalog/ir/program.ts";
import { must } from "../../util/assert.ts";
import { factKey } from "../../policy/keys.ts";
import { formatLiteral, type GroundAtom, type Substitution, valueOf } from "./atom.ts";
import type { CallAnswers } from "./call-answers.ts";
import type { FactOrigin } from "./explanation.ts";
import { bodyOf, matchingRules, solutions } from "./proof-search.ts";

export type Proof =
  | { readonly kind: "fact"; readonly atom: GroundAtom; readonly from: Exclude<FactOrigin, "policy"> }
  | { readonly kind: "rule"; readonly atom: GroundAtom; readonly rule: ProgramRule; readonly parts: readonly Proof[] }
  | ProvenCondition;

/** A condition that holds, such as `not is_banned(User{"ann"})`. */
interface ProvenCondition {
  readonly kind: "condition";
  readonly text: string;
}

/** A true atom. */
interface ProofNode {
  readonly atom: GroundAtom;
  /** The height of the smallest proof so far; infinite if there is none yet. */
  height: number;
  /** `undefined` until its rules have been tried. */
  applications: RuleApplication[] | undefined;
  /** Rule applications of other nodes that need this one. */
  readonly users: RuleApplication[];
  proof: Proof | undefined;
}

/** One application of a rule that derives a node, with the nodes and conditions that it needs. */
interface RuleApplication {
  readonly node: ProofNode;
  readonly rule: ProgramRule;
  readonly parts: readonly (ProofNode | ProvenCondition)[];
}

export class Derivations {
  readonly #answers: CallAnswers;
  readonly #nodes = new Map<string, ProofNode>();

  constructor(answers: CallAnswers) {
    this.#answers = answers;
  }

  /** The proof; `undefined` if there is none. Throws `WorkLimitReached`. */
  of(atom: GroundAtom): Proof | undefined {
    const root = this.#node(atom);
    const seen = new Set([root]);
    let level = [root];
    // A proof of this height has no rule below this level.
    for (let depth = 0; level.length > 0 && root.height > depth; depth += 1) {
      const below = level.flatMap((node) => this.#applicationsOf(node).flatMap(({ parts }) => parts.filter(isNode)));
      level = [...new Set(below).difference(seen)].filter(({ height }) => height > 0);
      for (const node of level) seen.add(node);
    }
    return root.height === Infinity ? undefined : proofOf(root);
  }

  #node(atom: GroundAtom): ProofNode {
    const key = factKey(atom);
    const known = this.#nodes.get(key);
    if (known) return known;
    const from = this.#answers.factOrigin(atom);
    const proof = from && ({ kind: "fact", atom, from } as const);
    const node: ProofNode = { atom, height: proof ? 0 : Infinity, applications: proof && [], users: [], proof };
    this.#nodes.set(key, node);
    return node;
  }

  #applicationsOf(node: ProofNode): readonly RuleApplication[] {
    if (node.applications) return node.applications;
    const applications: RuleApplication[] = [];
    for (const { rule, bindings } of matchingRules(node.atom, this.#answers)) {
      for (const solution of solutions(bodyOf(rule), bindings, this.#answers)) {
        const parts = rule.body.map((literal) => this.#part(literal, rule, solution));
        const application = { node, rule, parts };
        for (const part of new Set(parts.filter(isNode))) part.users.push(application);
        applications.push(application);
      }
    }
    node.applications = applications;
    settle(applications);
    return applications;
  }

  #part(literal: ProgramLiteral, rule: ProgramRule, bindings: Substitution): RuleApplication["parts"][number] {
    const { now } = this.#answers;
    if (literal.kind !== "call") return { kind: "condition", text: formatLiteral(literal, bindings, now, rule.types) };
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

/** Lowers the heights of the nodes that these applications derive, and then of all nodes that depend on them. */
function settle(applications: readonly RuleApplication[]): void {
  const waiting = [...applications];
  for (let application = waiting.shift(); application; application = waiting.shift()) {
    const height = heightOf(application);
    if (height >= application.node.height) continue;
    application.node.height = height;
    waiting.push(...application.node.users);
  }
}

/** Uses the lowest application, which needs only lower nodes. */
function proofOf(node: ProofNode): Proof {
  if (node.proof) return node.proof;
  const application = must(node.applications?.find((candidate) => heightOf(candidate) === node.height));
  const parts = application.parts.map((part) => (isNode(part) ? proofOf(part) : part));
  return { kind: "rule", atom: node.atom, rule: application.rule, parts };
}
