/**
 * Finds the parts of a policy that no facts can make true: rules that can't be true or repeat another, names that
 * nothing grants, questions without an answer. Uncertain cases count as possible, so warnings are correct.
 */
import type { Policy, Rule } from "../../polar/policy.ts";
import type { Span } from "../../polar/span.ts";
import { must } from "../../util/assert.ts";
import { ArgumentIndex, type ArgumentPattern, mayUnify } from "../ir/argument-index.ts";
import { listKey, programLiteralKey, programTermKey, stringKey, typeSetKey } from "../ir/key.ts";
import { type DatalogProgram, headPatterns, type ProgramRule } from "../ir/program.ts";
import type { Signatures } from "../ir/signature.ts";
import type { Universe } from "../ir/universe.ts";
import { factUses } from "./fact-types.ts";
import { budget } from "./too-large.ts";
import { inferTypings } from "./typings.ts";

/** A call with the types of each argument, and the value of a constant. Heads and facts are compared with it. */
export interface CallPattern {
  /** A predicate key. */
  readonly predicate: string;
  readonly args: readonly ArgumentPattern[];
}

export interface Reachability {
  /** Rules that no facts can make true. */
  readonly dead: readonly Rule[];
  /** Whether a fact, or a rule that can be true, could answer the call. A default `allow` does if its call does. */
  canHold(pattern: CallPattern): boolean;
  /**
   * Whether a rule derives or asks for (a fact may grant that) the predicate with this name as its second argument and,
   * if there are `types`, one of them as its third.
   */
  grants(predicate: string, name: string, types: ReadonlySet<string> | undefined): boolean;
}

export function reachability(
  policy: Policy,
  program: DatalogProgram,
  universe: Universe,
  signatures: Signatures,
  typingsMax: number,
): Reachability {
  const spend = budget(typingsMax, "types");
  const isLiving = (rule: ProgramRule): boolean =>
    inferTypings(rule.types, rule.body, signatures, (count) => spend(count, rule.span)).length > 0;
  const living = program.rules.filter(isLiving);
  const livingSpans = new Set(living.map(({ span }) => spanKey(span)));
  const uses = [...factUses(policy, program, universe)].map((use) => ({ ...use, copied: undefined }));
  const heads = new Map<string, ArgumentIndex<Head>>();
  for (const head of [...living.map(headOf), ...uses])
    heads.getOrInsertComputed(head.predicate, () => new ArgumentIndex()).add(head, head.args);
  const named = namedBy([...living.filter((rule) => !rule.implicit).map(headOf), ...uses]);
  const canHold = (pattern: CallPattern): boolean =>
    (heads.get(pattern.predicate)?.candidates(pattern.args) ?? []).some(
      (head) =>
        mayUnify(pattern.args, head.args) &&
        (head.copied === undefined || canHold({ predicate: head.copied, args: pattern.args })),
    );
  return {
    dead: policy.rules.filter((rule) => !rule.implicit && !livingSpans.has(spanKey(rule.span))),
    canHold,
    grants: (predicate, name, types) =>
      [name, anyName].some((known) =>
        types
          ? [...types, anyType].some((type) => named.has(keyOf(predicate, known, type)))
          : named.has(keyOf(predicate, known, noType)),
      ),
  };
}

/** Rules that are equal to an earlier one, each with the earlier one. */
export function duplicateRules(program: DatalogProgram): { readonly rule: Span; readonly first: Span }[] {
  const bySpan = Map.groupBy(
    program.rules.filter((rule) => !rule.implicit),
    ({ span }) => spanKey(span),
  );
  const known = new Map<string, Span>();
  const found: { rule: Span; first: Span }[] = [];
  for (const alternatives of bySpan.values()) {
    const { span } = must(alternatives[0]);
    const key = listKey(alternatives.map(canonical).sort());
    const first = known.get(key);
    if (first) found.push({ rule: span, first });
    else known.set(key, span);
  }
  return found;
}

interface Head extends CallPattern {
  /** The predicate that a default `allow` copies. */
  readonly copied: string | undefined;
}

function headOf(rule: ProgramRule): Head {
  const [copied] = rule.implicit ? rule.body : [];
  return {
    predicate: rule.predicate,
    args: headPatterns(rule),
    copied: copied?.kind === "call" ? copied.predicate : undefined,
  };
}

const anyName = "*";
const anyType = "*";
const noType = "";

/** The keys of predicate, second and third argument, for fast lookups of thousands of names. */
function namedBy(patterns: readonly CallPattern[]): Set<string> {
  const named = new Set<string>();
  for (const { predicate, args } of patterns) {
    const [, name, third] = args;
    if (name?.types?.has("String") === false) continue;
    const types = third ? (third.types ?? [anyType]) : [noType];
    for (const type of types) named.add(keyOf(predicate, name?.id ?? anyName, type));
  }
  return named;
}

function keyOf(predicate: string, name: string, type: string): string {
  return listKey([predicate, name, type].map(stringKey));
}

function spanKey({ file, start }: Span): string {
  return `${file}:${start}`;
}

/** Equal for rules that differ only in the names of variables (numbered by first use) and the order of conditions. */
function canonical({ predicate, head, body, types }: ProgramRule): string {
  return listKey([
    stringKey(predicate),
    listKey(head.map(programTermKey)),
    listKey(types.map(typeSetKey)),
    listKey(body.map(programLiteralKey).sort()),
  ]);
}
