/**
 * Inference of signatures: the combinations of argument types that each predicate can hold. It evaluates the program
 * bottom-up over types, and starts with the types of storable facts. All later passes use the result: a rule is never
 * compiled for types that its calls can't have.
 */
import { typeListKey } from "../ir/key.ts";
import { callersOf, type DatalogProgram, type ProgramRule } from "../ir/program.ts";
import { type Signature, SignatureList, type Signatures } from "../ir/signature.ts";
import type { FactType } from "./fact-types.ts";
import { Budget } from "./too-large.ts";
import { headSignature, inferTypings } from "./typings.ts";

/** The least fixpoint over types: the base signatures (of facts) and those that rules derive from them. */
export function inferSignatures(
  program: DatalogProgram,
  base: Iterable<readonly [string, Signature]>,
  typingsMax: number,
): Signatures {
  const budget = new Budget(typingsMax, "types");
  const signatures = new Map<string, SignatureList>();
  const seen = new Set<string>();
  const add = (predicate: string, signature: Signature): boolean => {
    const key = `${predicate} ${typeListKey(signature)}`;
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
      for (const typing of inferTypings(rule.types, rule.body, signatures, (count) => budget.spend(count, rule.span)))
        if (add(rule.predicate, headSignature(rule.head, typing))) grown.add(rule.predicate);
    }
    waiting = new Set([...grown].flatMap((predicate) => callers.get(predicate) ?? []));
  }
  return signatures;
}

/** Signatures for a request, from the types of stored facts and of its context facts. */
export function signaturesFor(
  program: DatalogProgram,
  facts: readonly FactType[],
  context: readonly FactType[],
  typingsMax: number,
): Signatures {
  const base = [...facts, ...context].map(({ predicate, types }) => [predicate, types] as const);
  return inferSignatures(program, base, typingsMax);
}
