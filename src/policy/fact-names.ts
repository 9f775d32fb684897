/**
 * The unknown names in the facts of a write: such a fact has no effect. This runs on the thread of all writes, and
 * applications with roles of their own store thousands of names that the policy need not have. So it first asks whether
 * a rule takes the name from the fact, and only then searches a similar name.
 */
import { ArgumentIndex, type ArgumentPattern, mayUnify } from "../datalog/ir/argument-index.ts";
import { typeListKey } from "../datalog/ir/key.ts";
import {
  argumentPattern,
  literalVariables,
  predicateKey,
  type ProgramCall,
  programCalls,
  type ProgramRule,
} from "../datalog/ir/program.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { ownerOf } from "./known-names.ts";
import { type AskedCall, findUnknownName, findUnknownNames } from "./unknown-names.ts";

/** Facts of a write beyond these are not looked at, so that a bulk load costs nothing. */
const factsMax = 1000;
const factHintsMax = 5;

/** Different facts for which similar names are searched: unknown types, of which only those with one are reported. */
const searchedFactsMax = 20;

/** One sentence for each name in stored facts that no rule can mean. */
export function unknownNamesInFacts(facts: readonly AskedCall[], active: ActivePolicy): readonly string[] {
  const found = new Set<string>();
  const seen = new Set<string>();
  const uses = new Map<string, NameUse>();
  let searchesLeft = searchedFactsMax;
  for (const fact of facts.slice(0, factsMax)) {
    const unknown = findUnknownNames(fact, active);
    if (unknown.length === 0) continue;
    const types = `${fact.predicate} ${typeListKey(fact.args.map(({ type }) => type))}`;
    const use = uses.getOrInsertComputed(types, () => nameUse(fact, active));
    if (use === "taken" || (use === "passed" && isNameOfOtherType(fact, active))) continue;
    const key = `${types} ${unknown.map(({ text }) => text).join(" ")}`;
    if (seen.has(key)) continue;
    seen.add(key);
    for (const { sentence } of unknown) {
      const said = sentence();
      if (said !== undefined) found.add(said);
    }
    searchesLeft -= 1;
    if (found.size >= factHintsMax || searchesLeft === 0) break;
  }
  return [...found];
}

/**
 * What rules do with the name of a fact where they have a variable: `taken` means anything, as where roles are data;
 * `passed` that it only gets to another value, as by `role if role on "parent"`.
 */
type NameUse = "none" | "passed" | "taken";

/** A call of a rule that has a variable for the name. */
interface NameVariable {
  readonly args: readonly ArgumentPattern[];
  readonly use: NameUse;
}

const variablesOf = new WeakMap<ActivePolicy, ReadonlyMap<string, ArgumentIndex<NameVariable>>>();

function nameUse({ predicate, args }: AskedCall, active: ActivePolicy): NameUse {
  const index = variablesOf.getOrInsertComputed(active, indexVariables).get(predicateKey(predicate, args.length));
  const given = args.map(({ type }) => ({ types: type === undefined ? undefined : new Set([type]), id: undefined }));
  const uses = index?.candidates(given).filter((variable) => mayUnify(variable.args, given)) ?? [];
  if (uses.length === 0) return "none";
  return uses.some(({ use }) => use === "taken") ? "taken" : "passed";
}

function indexVariables({ program }: ActivePolicy): ReadonlyMap<string, ArgumentIndex<NameVariable>> {
  const indexes = new Map<string, ArgumentIndex<NameVariable>>();
  for (const rule of program.rules)
    for (const { call } of programCalls(rule.body)) {
      const name = call.args[1];
      if (name === undefined || name.kind === "const") continue;
      const args = call.args.map((term) => argumentPattern(term, rule.types));
      const index = indexes.getOrInsertComputed(call.predicate, () => new ArgumentIndex());
      index.add({ args, use: passesOn(rule, call) ? "passed" : "taken" }, args);
    }
  return indexes;
}

/** Whether the name of the call is that of the head, and has no other use. */
function passesOn({ predicate, head, body }: ProgramRule, call: ProgramCall): boolean {
  const [name, given] = [call.args[1], head[1]];
  if (predicate !== call.predicate || name?.kind !== "var" || given?.kind !== "var") return false;
  const uses = body.filter(({ kind }) => kind !== "type").flatMap(literalVariables);
  return given.index === name.index && uses.filter((index) => index === name.index).length === 1;
}

/** Whether a rule means the name with values of another type. */
function isNameOfOtherType({ predicate, args }: AskedCall, active: ActivePolicy): boolean {
  const owner = ownerOf(predicate);
  const ofAny = args.map(({ id, type }, position) => (position === owner ? { id } : { id, type }));
  return findUnknownName({ predicate, args: ofAny }, active) === undefined;
}
