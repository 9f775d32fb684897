/**
 * Types for a question about a fact pattern. A query needs a concrete type for each variable, and a pattern may leave
 * types open, so it is asked once for each combination of types with which its predicate can hold.
 */
import { listKey, stringKey, typeListKey } from "../../datalog/ir/key.ts";
import { isTypeVariable, type Signature } from "../../datalog/ir/signature.ts";
import type { FactPattern } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { patternTypingsMax } from "../../util/tuning.ts";

type Typing = readonly string[];

/** A type that is not among the known ones. Rules and facts treat all such types in the same way. */
export function otherTypeThan(known: ReadonlySet<string>): string {
  let type = "_";
  while (known.has(type)) type += "_";
  return type;
}

/**
 * The combinations of concrete types for the arguments. `types` are all that an argument of any type can have. Throws
 * `query_too_expensive` if there are too many.
 */
export function typingsOf(
  { args }: FactPattern,
  signatures: readonly Signature[],
  types: readonly string[],
): readonly Typing[] {
  const found = new Map<string, Typing>();
  for (const signature of signatures) {
    let partial: readonly Typing[] = [[]];
    for (const [position, { type: wanted }] of args.entries()) {
      partial = partial.flatMap((typing) =>
        choices(signature, position, typing, types)
          .filter((type) => wanted === null || type === wanted)
          .map((type) => [...typing, type]),
      );
      if (partial.length > patternTypingsMax) throw tooManyTypings();
    }
    for (const typing of partial) found.set(typeListKey(typing), typing);
    if (found.size > patternTypingsMax) throw tooManyTypings();
  }
  return [...found.values()];
}

/** The types that the signature allows for an argument, after those in `before`. */
function choices(signature: Signature, position: number, before: Typing, types: readonly string[]): readonly string[] {
  const type = signature[position];
  if (type === undefined) return types;
  if (!isTypeVariable(type)) return [type];
  const first = Number(type.slice(1));
  return first === position ? types : [must(before[first])];
}

function tooManyTypings(): AppError {
  return new AppError(
    "query_too_expensive",
    `the arguments can have more than ${patternTypingsMax} combinations of types: give the types of more arguments`,
  );
}

/**
 * The answers for all typings together. Where every type has an answer for all its values, one answer with a `null`
 * type takes their place. Answers about `otherType`, which has no name, are left out otherwise.
 */
export function mergeWildcards(
  found: readonly FactPattern[],
  asked: FactPattern,
  types: readonly string[],
  otherType: string,
): FactPattern[] {
  let merged = found;
  for (const [position, { type }] of asked.args.entries()) {
    if (type !== null) continue;
    const isWildcard = ({ args }: FactPattern): boolean => args[position]?.id === null;
    const groups = Map.groupBy(merged.filter(isWildcard), (fact) => patternKey(untyped(fact, position)));
    const complete = [...groups.values()].filter((group) => group.length === types.length);
    if (complete.length === 0) continue;
    const replaced = new Set(complete.flat());
    merged = [
      ...merged.filter((fact) => !replaced.has(fact)),
      ...complete.map(([first]) => untyped(must(first), position)),
    ];
  }
  return merged.filter(({ args }) => !args.some(({ type }) => type === otherType));
}

function untyped({ predicate, args }: FactPattern, position: number): FactPattern {
  return { predicate, args: args.with(position, { type: null, id: null }) };
}

function patternKey({ args }: FactPattern): string {
  const part = (text: string | null): string => (text === null ? "-" : stringKey(text));
  return listKey(args.map(({ type, id }) => part(type) + part(id)));
}
