/** What types the arguments of a predicate can have: one signature, and all of a predicate's. */
import { ArgumentIndex, type ArgumentPattern } from "./argument-index.ts";
import type { ProgramTerm } from "./program.ts";

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
      types: type === undefined || isTypeVariable(type) ? undefined : new Set([type]),
      id: undefined,
    }));
    this.#index.add(signature, args);
  }

  all(): readonly Signature[] {
    return this.#all;
  }

  candidates(args: () => readonly ArgumentPattern[]): readonly Signature[] {
    return this.#all.length <= indexedMin ? this.#all : this.#index.candidates(args());
  }
}

/** Fewer than these are looked at one by one. */
const indexedMin = 16;

export function termType(term: ProgramTerm): TypeName {
  if (term.kind === "now") return "Integer";
  return term.kind === "const" ? term.value.type : undefined;
}

/** Names of types begin with letters, so no type is taken for a link. */
export function isTypeVariable(type: TypeName): type is string {
  return type?.startsWith("?") === true;
}

export function typeVariable(number: number): string {
  return `?${number}`;
}
