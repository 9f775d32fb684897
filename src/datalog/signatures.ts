/**
 * Types flow bottom up: which combinations of argument types can a predicate hold at all? An abstract run of the program over types, with
 * the storable facts as its base. It drives everything after it: a rule instance whose calls have no common typing is never compiled.
 */
import { ArgumentIndex } from "./argument-index.ts";
import type { Argument } from "./fact-types.ts";
import { callersOf, type Program, type ProgramRule, type ProgramTerm } from "./program.ts";
import { Budget } from "./too-large.ts";
import { headSignature, isLink, typings } from "./typings.ts";

/** A concrete type, or `undefined` for any (untyped variables that only untyped facts bind). */
export type TypeName = string | undefined;

/** The types of a predicate's arguments; places with one link (`?0`, the first of them) are of one type, whichever it is. */
export type Signature = readonly TypeName[];

/** By predicate key, the argument types that it can hold. */
export type Signatures = ReadonlyMap<string, SignatureList>;

/** The signatures of one predicate; of many, those that may fit a call are found without looking at all. */
export class SignatureList {
  readonly #all: Signature[] = [];
  readonly #index = new ArgumentIndex<Signature>();

  add(signature: Signature): void {
    this.#all.push(signature);
    const args = signature.map((type) => ({
      types: type === undefined || isLink(type) ? undefined : new Set([type]),
      id: undefined,
    }));
    this.#index.add(signature, args);
  }

  candidates(args: () => readonly Argument[]): readonly Signature[] {
    return this.#all.length <= indexedMin ? this.#all : this.#index.candidates(args());
  }
}

/** Fewer than these are looked at one by one. */
const indexedMin = 16;

export function termType(term: ProgramTerm): TypeName {
  if (term.kind === "now") return "Integer";
  return term.kind === "const" ? term.value.type : undefined;
}

/** The least fixpoint over types: the base signatures (facts) and what the rules derive from them. */
export function inferSignatures(
  program: Program,
  base: Iterable<readonly [string, Signature]>,
  typingsMax: number,
): Signatures {
  const budget = new Budget(typingsMax, "types");
  const signatures = new Map<string, SignatureList>();
  const seen = new Set<string>();
  const add = (predicate: string, signature: Signature): boolean => {
    const key = `${predicate} ${JSON.stringify(signature.map((type) => type ?? null))}`;
    if (seen.has(key)) return false;
    seen.add(key);
    let known = signatures.get(predicate);
    if (!known) signatures.set(predicate, (known = new SignatureList()));
    known.add(signature);
    return true;
  };
  for (const [predicate, signature] of base) add(predicate, signature);
  const callers = callersOf(program);
  let waiting: ReadonlySet<ProgramRule> = new Set(program.rules);
  while (waiting.size > 0) {
    const grown = new Set<string>();
    for (const rule of waiting) {
      for (const typing of typings(rule.types, rule.body, signatures, (count) => budget.spend(count, rule.span)))
        if (add(rule.predicate, headSignature(rule.head, typing))) grown.add(rule.predicate);
    }
    waiting = new Set([...grown].flatMap((predicate) => callers.get(predicate) ?? []));
  }
  return signatures;
}
