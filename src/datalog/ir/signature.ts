/** Signatures: the combinations of argument types that a predicate can hold. */
import { indexedSignaturesMin } from "../../util/tuning.ts";
import { ArgumentIndex, type ArgumentPattern } from "./argument-index.ts";
import type { ProgramTerm } from "./program.ts";

/** A concrete type, or `undefined` for any type: untyped variables that only untyped facts bind. */
export type TypeName = string | undefined;

/**
 * The types of a predicate's arguments. Those of one unknown type have the same type variable, `?` and the position of
 * the first.
 */
export type Signature = readonly TypeName[];

/** The signatures of each predicate key. */
export type Signatures = ReadonlyMap<string, SignatureList>;

/** The signatures of one predicate. If there are many, an index finds those that may fit a call. */
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
    return this.#all.length <= indexedSignaturesMin ? this.#all : this.#index.candidates(args());
  }
}

export function termType(term: ProgramTerm): TypeName {
  if (term.kind === "now") return "Integer";
  return term.kind === "const" ? term.value.type : undefined;
}

/** Names of types begin with a letter, so no type looks like a type variable. */
export function isTypeVariable(type: TypeName): type is string {
  return type?.startsWith("?") === true;
}

export function typeVariable(number: number): string {
  return `?${number}`;
}
