/**
 * Types flow bottom up: which combinations of argument types can a predicate hold at all? An abstract run of the program over types, with
 * the storable facts as its base. It drives everything after it: a rule instance whose calls have no common typing is never compiled.
 */
import { callersOf, type DatalogProgram, type ProgramRule } from "../ir/program.ts";
import { type Signature, SignatureList, type Signatures } from "../ir/signature.ts";
import type { FactType } from "./fact-types.ts";
import { Budget } from "./too-large.ts";
import { headSignature, inferTypings } from "./typings.ts";

/** The least fixpoint over types: the base signatures (facts) and what the rules derive from them. */
export function inferSignatures(
  program: DatalogProgram,
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
      for (const typing of inferTypings(rule.types, rule.body, signatures, (count) => budget.spend(count, rule.span)))
        if (add(rule.predicate, headSignature(rule.head, typing))) grown.add(rule.predicate);
    }
    waiting = new Set([...grown].flatMap((predicate) => callers.get(predicate) ?? []));
  }
  return signatures;
}

/** Signatures for a request: the stored fact types, and those of its context facts, carried through the rules. */
export function signaturesFor(
  program: DatalogProgram,
  facts: readonly FactType[],
  context: readonly FactType[],
  typingsMax: number,
): Signatures {
  const base = [...facts, ...context].map(({ predicate, types }) => [predicate, types] as const);
  return inferSignatures(program, base, typingsMax);
}
