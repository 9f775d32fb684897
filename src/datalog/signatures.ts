/**
 * Types flow bottom up: which combinations of argument types can a predicate hold at all? An abstract run of the program over types, with
 * the storable facts as its base. It drives everything after it: a rule instance whose calls have no common typing is never compiled.
 */
import { ArgumentIndex } from "./argument-index.ts";
import { argumentOf, type Argument } from "./fact-types.ts";
import { TypingBudget } from "./typing-budget.ts";
import type { Program, ProgramLiteral, ProgramTerm } from "./program.ts";

/** A concrete type, or `undefined` for any (untyped variables that only untyped facts bind). */
export type TypeName = string | undefined;

/** By predicate key, the argument types that it can hold. */
export type Signatures = ReadonlyMap<string, SignatureList>;

type Signature = readonly TypeName[];

/** The signatures of one predicate; of many, those that may fit a call are found without looking at all. */
export class SignatureList {
  readonly #all: Signature[] = [];
  readonly #index = new ArgumentIndex<Signature>();

  add(signature: Signature): void {
    this.#all.push(signature);
    const args = signature.map((type) => ({ types: type === undefined ? undefined : new Set([type]), id: undefined }));
    this.#index.add(signature, args);
  }

  candidates(args: () => readonly Argument[]): readonly Signature[] {
    return this.#all.length <= indexedMin ? this.#all : this.#index.candidates(args());
  }
}

/** Fewer than these are looked at one by one. */
const indexedMin = 16;

type Allowed = readonly (ReadonlySet<string> | undefined)[];

/**
 * All typings of the variables of a conjunction under which every positive call is possible. `known` fixes variables beforehand; `spend` is told
 * how many are made on the way, and may throw.
 * The result has a concrete type for each variable, or `undefined` where any value will do.
 */
export function typings(
  allowed: Allowed,
  body: readonly ProgramLiteral[],
  signatures: Signatures,
  spend: (typings: number) => void,
  known: readonly TypeName[] = [],
): (readonly TypeName[])[] {
  const start = allowed.map((_, variable) => known[variable]);
  if (start.some((type, variable) => type !== undefined && !permits(allowed[variable], type))) return [];
  const calls = body.filter((literal) => literal.kind === "call");
  let partial: TypeName[][] = [start];
  const pending = [...calls];
  while (pending.length > 0) {
    const call = pending.splice(mostTyped(pending, partial[0] ?? []), 1)[0];
    if (!call) break;
    const next: TypeName[][] = [];
    for (const typing of partial) {
      const extended = extendByCall(typing, call, allowed, signatures);
      spend(extended.length);
      next.push(...extended);
    }
    partial = distinct(next);
    if (partial.length === 0) return [];
  }
  return distinct(partial.flatMap((typing) => enumerateRest(typing, allowed, spend)));
}

type Call = Extract<ProgramLiteral, { kind: "call" }>;

function mostTyped(calls: readonly Call[], typing: readonly TypeName[]): number {
  let best = 0;
  let bestScore = -1;
  calls.forEach((call, index) => {
    const score = call.args.filter((arg) => arg.kind !== "var" || typing[arg.index] !== undefined).length;
    if (score > bestScore) [best, bestScore] = [index, score];
  });
  return best;
}

function extendByCall(typing: readonly TypeName[], call: Call, allowed: Allowed, signatures: Signatures): TypeName[][] {
  const found: TypeName[][] = [];
  const known = (): Argument[] =>
    call.args.map((arg) => {
      const type = arg.kind === "var" ? typing[arg.index] : undefined;
      return type === undefined ? argumentOf(arg, allowed) : { types: new Set([type]), id: undefined };
    });
  for (const signature of signatures.get(call.predicate)?.candidates(known) ?? []) {
    const next = [...typing];
    const fits = call.args.every((arg, position) => {
      const type = signature[position];
      if (type === undefined) return true;
      if (arg.kind !== "var") return type === termType(arg);
      const present = next[arg.index];
      if (present !== undefined) return present === type;
      if (!permits(allowed[arg.index], type)) return false;
      next[arg.index] = type;
      return true;
    });
    if (fits) found.push(next);
  }
  return found;
}

/** Variables that no call typed: each of the types that their rule allows them, and any type where it allows all. */
function enumerateRest(typing: readonly TypeName[], allowed: Allowed, spend: (typings: number) => void): TypeName[][] {
  let complete: TypeName[][] = [[...typing]];
  allowed.forEach((types, variable) => {
    if (typing[variable] !== undefined || types === undefined) return;
    spend(complete.length * types.size);
    complete = complete.flatMap((partial) =>
      [...types].map((type) => {
        const next = [...partial];
        next[variable] = type;
        return next;
      }),
    );
  });
  return complete;
}

function permits(allowed: ReadonlySet<string> | undefined, type: string): boolean {
  return allowed === undefined || allowed.has(type);
}

export function termType(term: ProgramTerm): TypeName {
  if (term.kind === "now") return "Integer";
  return term.kind === "const" ? term.value.type : undefined;
}

function distinct(rows: TypeName[][]): TypeName[][] {
  const seen = new Map<string, TypeName[]>();
  for (const row of rows) seen.set(JSON.stringify(row.map((type) => type ?? null)), row);
  return [...seen.values()];
}

/** The least fixpoint over types: the base signatures (facts) and what the rules derive from them. */
export function inferSignatures(
  program: Program,
  base: Iterable<readonly [string, Signature]>,
  typingsMax: number,
): Signatures {
  const budget = new TypingBudget(typingsMax);
  const signatures = new Map<string, SignatureList>();
  const seen = new Set<string>();
  const add = (predicate: string, signature: readonly TypeName[]): boolean => {
    const key = `${predicate} ${JSON.stringify(signature.map((type) => type ?? null))}`;
    if (seen.has(key)) return false;
    seen.add(key);
    let known = signatures.get(predicate);
    if (!known) signatures.set(predicate, (known = new SignatureList()));
    known.add(signature);
    return true;
  };
  for (const [predicate, signature] of base) add(predicate, signature);
  let waiting = new Set(program.rules);
  while (waiting.size > 0) {
    const grown = new Set<string>();
    for (const rule of waiting) {
      for (const typing of typings(rule.types, rule.body, signatures, (count) => budget.spend(count, rule.span))) {
        const head = rule.head.map((term) => (term.kind === "var" ? typing[term.index] : termType(term)));
        if (add(rule.predicate, head)) grown.add(rule.predicate);
      }
    }
    waiting = new Set(
      program.rules.filter((rule) =>
        rule.body.some((literal) => literal.kind === "call" && grown.has(literal.predicate)),
      ),
    );
  }
  return signatures;
}
