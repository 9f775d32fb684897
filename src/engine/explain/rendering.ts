/** Rendering of explanations: calls and rules as text with their positions, and proofs as steps, all within limits. */
import type { Limits } from "../../config/limits.ts";
import { type ProgramLiteral, type ProgramRule, splitKey } from "../../datalog/ir/program.ts";
import { ruleAt } from "../../polar/rule-text.ts";
import type { Source } from "../../polar/source.ts";
import type { Value } from "../../store/facts/fact.ts";
import { factKey } from "../../policy/keys.ts";
import { formatAtom, formatLiteral, type OpenAtom, openId, type Substitution, valueOf } from "./atom.ts";
import type { Proof } from "./derivation.ts";
import type { ExplainedCall, ExplainedRule, ExplainedStep, TruncationReason } from "./explanation.ts";

export class Renderer {
  readonly #sources: readonly Source[];
  /** The maximum nesting of steps and attempts. */
  readonly depthMax: number;
  readonly #rendered = new Set<string>();
  #entriesLeft: number;
  #truncation: TruncationReason | undefined;

  constructor(sources: readonly Source[], limits: Pick<Limits, "explanationEntriesMax" | "explanationDepthMax">) {
    this.#sources = sources;
    this.#entriesLeft = limits.explanationEntriesMax;
    this.depthMax = limits.explanationDepthMax;
  }

  /** The first limit that was reached. */
  get truncation(): TruncationReason | undefined {
    return this.#truncation;
  }

  truncate(reason: TruncationReason): void {
    this.#truncation ??= reason;
  }

  /** Whether one more entry fits. */
  takeEntry(): boolean {
    if (this.#entriesLeft === 0) this.truncate("entries");
    else this.#entriesLeft -= 1;
    return this.#truncation !== "entries";
  }

  /** `null` for a rule that is not in the text. */
  rule({ span, implicit }: Pick<ProgramRule, "span" | "implicit">): ExplainedRule | null {
    return implicit ? null : ruleAt(span, this.#sources);
  }

  /** The proof as steps. A conclusion that was rendered before is not repeated. */
  steps(proof: Proof, depth = 0): ExplainedStep {
    if (!this.takeEntry()) return { kind: "cut", conclusion: conclusionOf(proof) };
    if (proof.kind === "condition") return proof;
    if (proof.kind === "fact") return { kind: "fact", fact: callOf(proof.atom), from: proof.from, rule: null };
    const { rule, atom } = proof;
    const conclusion = callOf(atom);
    if (isPolicyFact(rule)) return { kind: "fact", fact: conclusion, from: "policy", rule: this.rule(rule) };
    const key = factKey(atom);
    if (this.#rendered.has(key)) return { kind: "again", conclusion };
    if (depth >= this.depthMax) {
      this.truncate("depth");
      return { kind: "cut", conclusion };
    }
    const path = pathOf(proof, (inner) => this.#rendered.has(factKey(inner.atom)));
    for (const walked of path) this.#rendered.add(factKey(walked.atom));
    const parts = path.flatMap((walked, index) => walked.parts.filter((part) => part !== path[index + 1]));
    const steps: ExplainedStep[] = [];
    for (const part of parts) {
      steps.push(this.steps(part, depth + 1));
      if (this.#truncation === "entries") break;
    }
    return { kind: "rule", conclusion, rule: this.rule(rule), times: path.length, steps };
  }
}

type ByRule = Extract<Proof, { kind: "rule" }>;

/** A rule that depends on itself repeatedly, and otherwise only on facts and tests, follows a path of facts. */
function pathOf(start: ByRule, isRendered: (inner: ByRule) => boolean): readonly ByRule[] {
  const path = [start];
  for (let next: ByRule | undefined = start; next !== undefined;) {
    const derived: ByRule[] = next.parts
      .filter((part) => part.kind === "rule")
      .filter((part) => !isPolicyFact(part.rule));
    const [inner] = derived;
    const goesOn = derived.length === 1 && inner && isSameText(inner.rule, start.rule) && !isRendered(inner);
    next = goesOn ? inner : undefined;
    if (next) path.push(next);
  }
  return path;
}

function isSameText({ span }: ProgramRule, { span: other }: ProgramRule): boolean {
  return span.file === other.file && span.start === other.start && span.end === other.end;
}

/** A rule without conditions is a fact in the policy. */
export function isPolicyFact({ body, implicit }: ProgramRule): boolean {
  return body.length === 0 && !implicit;
}

function conclusionOf(proof: Proof): ExplainedCall {
  return proof.kind === "condition" ? { text: proof.text, predicate: "", args: [] } : callOf(proof.atom);
}

export function callOf(atom: OpenAtom): ExplainedCall {
  return { text: formatAtom(atom), predicate: splitKey(atom.predicate)[0], args: atom.args.map(argumentOf) };
}

/** A condition of a rule with its known values; unknown values have their type if there is only one. */
export function callOfLiteral(
  literal: Extract<ProgramLiteral, { kind: "call" }>,
  bindings: Substitution,
  now: Value,
  types: ProgramRule["types"],
): ExplainedCall {
  const args = literal.args.map((arg) => {
    const value = valueOf(arg, bindings, now);
    const [type, ...others] = (arg.kind === "var" ? types[arg.index] : undefined) ?? [];
    return value ? argumentOf(value) : { type: others.length === 0 ? (type ?? null) : null, id: null };
  });
  return { text: formatLiteral(literal, bindings, now, types), predicate: splitKey(literal.predicate)[0], args };
}

function argumentOf(value: Value | undefined): ExplainedCall["args"][number] {
  if (!value) return { type: null, id: null };
  return { type: value.type, id: value.id === openId ? null : value.id };
}
