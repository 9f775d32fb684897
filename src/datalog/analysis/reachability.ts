/**
 * What a policy can never say, whatever facts there are: rules whose conditions no values can satisfy, rules that repeat another, names that
 * nothing grants, and questions that nothing could make true. All of it is safe to warn of: where it is not certain, it counts as possible.
 */
import type { Policy, Rule } from "../../polar/policy.ts";
import type { Span } from "../../polar/span.ts";
import { ArgumentIndex, type ArgumentPattern, mayUnify } from "../ir/argument-index.ts";
import { argumentPattern, type DatalogProgram, type ProgramLiteral, type ProgramRule } from "../ir/program.ts";
import type { Signatures } from "../ir/signature.ts";
import type { Universe } from "../ir/universe.ts";
import { factUses } from "./fact-types.ts";
import { Budget } from "./too-large.ts";
import { inferTypings } from "./typings.ts";

/** A call as heads and facts are compared with it: each argument's types, and its value where it has only one. */
export interface CallPattern {
  /** Predicate key. */
  readonly predicate: string;
  readonly args: readonly ArgumentPattern[];
}

export interface Reachability {
  /** Rules that no facts can make hold. */
  readonly dead: readonly Rule[];
  /** True where a rule that can hold, or a fact, could make it true. The default `allow` counts as what it stands for. */
  canHold(pattern: CallPattern): boolean;
  /**
   * True where a rule gives, or asks for, the predicate with the name as its second argument and, where there are `types`, one of them as
   * its third. What rules ask for, facts can give.
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
  const budget = new Budget(typingsMax, "types");
  const isLiving = (rule: ProgramRule): boolean =>
    inferTypings(rule.types, rule.body, signatures, (count) => budget.spend(count, rule.span)).length > 0;
  const living = program.rules.filter(isLiving);
  const places = new Set(living.map(({ span }) => placeOf(span)));
  const uses = [...factUses(policy, program, universe)].map((use) => ({ ...use, copied: undefined }));
  const heads = indexHeads([...living.map(headOf), ...uses]);
  const named = namedBy([...living.filter((rule) => !rule.implicit).map(headOf), ...uses]);
  const canHold = (pattern: CallPattern): boolean =>
    (heads.get(pattern.predicate)?.candidates(pattern.args) ?? []).some(
      (head) =>
        mayUnify(pattern.args, head.args) &&
        (head.copied === undefined || canHold({ predicate: head.copied, args: pattern.args })),
    );
  return {
    dead: policy.rules.filter((rule) => !rule.implicit && !places.has(placeOf(rule.span))),
    canHold,
    grants: (predicate, name, types) =>
      [name, anyName].some((known) =>
        types
          ? [...types, anyType].some((type) => named.has(keyOf(predicate, known, type)))
          : named.has(keyOf(predicate, known, noType)),
      ),
  };
}

/** Rules that say the same as an earlier one, each with the earlier one. */
export function duplicateRules(program: DatalogProgram): { readonly rule: Span; readonly first: Span }[] {
  const bySpan = Map.groupBy(
    program.rules.filter((rule) => !rule.implicit),
    ({ span }) => placeOf(span),
  );
  const known = new Map<string, Span>();
  const found: { rule: Span; first: Span }[] = [];
  for (const alternatives of bySpan.values()) {
    const [{ span } = { span: undefined }] = alternatives;
    if (!span) continue;
    const key = alternatives.map(canonical).sort().join("\n");
    const first = known.get(key);
    if (first) found.push({ rule: span, first });
    else known.set(key, span);
  }
  return found;
}

interface Head extends CallPattern {
  /** For a default `allow`: the predicate that it copies. */
  readonly copied: string | undefined;
}

function indexHeads(heads: readonly Head[]): ReadonlyMap<string, ArgumentIndex<Head>> {
  const indexes = new Map<string, ArgumentIndex<Head>>();
  for (const head of heads) {
    let index = indexes.get(head.predicate);
    if (!index) indexes.set(head.predicate, (index = new ArgumentIndex()));
    index.add(head, head.args);
  }
  return indexes;
}

function headOf(rule: ProgramRule): Head {
  const [copied] = rule.implicit ? rule.body : [];
  return {
    predicate: rule.predicate,
    args: rule.head.map((term) => argumentPattern(term, rule.types)),
    copied: copied?.kind === "call" ? copied.predicate : undefined,
  };
}

const anyName = "*";
const anyType = "*";
const noType = "";

/** By predicate, second and third argument, so that thousands of names are looked up quickly. */
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
  return JSON.stringify([predicate, name, type]);
}

function placeOf({ file, start }: Span): string {
  return `${file}:${start}`;
}

/** Variables are numbered by their first mention, so rules that differ in names alone are equal; the order of conditions means nothing. */
function canonical({ predicate, head, body, types }: ProgramRule): string {
  const conditions = body.map((literal) => JSON.stringify(literal, sorted)).sort();
  return JSON.stringify([predicate, head, types.map((allowed) => allowed && [...allowed].sort()), conditions]);
}

function sorted(_key: string, value: ProgramLiteral | ReadonlySet<string>): unknown {
  return value instanceof Set ? [...value].sort() : value;
}
