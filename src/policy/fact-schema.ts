/**
 * The fact schema check: whether any rule of the policy can use a fact (`polar/LANGUAGE.md`). A fact that no rule can
 * use is most likely a mistake, and would silently have no effect.
 */
import { factHeads, type FactType, isCovered, isHeadFact } from "../datalog/analysis/fact-types.ts";
import { type DatalogProgram, predicateKey, programCalls, splitKey } from "../datalog/ir/program.ts";
import { stringLiteral } from "../polar/string-literal.ts";
import { suggestion } from "../util/suggestion.ts";
import type { Connection } from "../store/connection/connection.ts";
import { countByTypes } from "../store/facts/fact-tables.ts";
import type { Fact, Value } from "../store/facts/fact.ts";
import { TableStatistics } from "../store/statistics/table-statistics.ts";
import { type Activation, activationOf } from "./activation.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { isRead, readFactTypes } from "./head-facts.ts";

/** What a policy can use as facts. */
export interface FactUses {
  /** Another number after each change of the policy; `undefined` without a policy. */
  readonly stamp: number | undefined;
  /** Whether a rule can use a fact of these types, whose argument at `position` is the string `name`. */
  has(predicate: string, types: readonly string[], position: number, name: string): boolean;
}

/** The same object as long as the policy is active. */
export function factUsesOf(activation: Activation | undefined): FactUses {
  return activation === undefined ? noUses : uses.getOrInsertComputed(activation, () => newUses(activation));
}

const uses = new WeakMap<Activation, FactUses>();
const noUses: FactUses = { stamp: undefined, has: () => false };

function newUses({ stamp, active }: Activation): FactUses {
  return {
    stamp,
    has(predicate, types, position, name) {
      const key = predicateKey(predicate, types.length);
      if (!isCovered(active.factTypes, key, types)) return false;
      return namesAt(active, key, position)?.has(name) ?? true;
    },
  };
}

const names = new WeakMap<ActivePolicy, Map<string, ReadonlySet<string> | undefined>>();

/** The constants at a position in all calls of a predicate; `undefined` if a call has a variable there. */
function namesAt(active: ActivePolicy, predicate: string, position: number): ReadonlySet<string> | undefined {
  const known = names.get(active) ?? new Map<string, ReadonlySet<string> | undefined>();
  names.set(active, known);
  const key = `${position} ${predicate}`;
  if (!known.has(key)) known.set(key, findNames(active, predicate, position));
  return known.get(key);
}

function findNames({ program }: ActivePolicy, predicate: string, position: number): Set<string> | undefined {
  const found = new Set<string>();
  for (const { body } of program.rules)
    for (const { call } of programCalls(body)) {
      if (call.predicate !== predicate) continue;
      const term = call.args[position];
      if (term?.kind !== "const") return undefined;
      found.add(term.value.id);
    }
  return found;
}

export interface FactSchemaProblem {
  /** `has_role(User, "reader", Org) is not used in policy`, with the most similar fact types that are used. */
  readonly problem: string;
  readonly fix: string;
}

/** The problem with a fact; `undefined` if the fact may be stored. Without a policy no fact may be stored. */
export function checkFactSchema(fact: Fact, active: ActivePolicy | undefined): FactSchemaProblem | undefined {
  const key = predicateKey(fact.predicate, fact.args.length);
  const types = fact.args.map((arg) => arg.type);
  if (active && (isCovered(active.factTypes, key, types) || isHeadFact(active.program, key, fact.args)))
    return undefined;
  const near = (active ? nearest(fact, active) : []).map((known) => `\`${known}\``);
  return {
    problem: `${formatFact(fact)} is not used in policy${near.length > 0 ? `; the policy uses ${near.join(", ")}` : ""}`,
    fix: active
      ? `use this fact in a rule, or add \`declare ${fact.predicate}(${types.join(", ")});\``
      : "no policy is loaded yet: load one first",
  };
}

const nearestMax = 5;

/**
 * The fact types with the same name, or else with the most similar name, as text; those that agree in the most arguments
 * come first. Strings in heads are shown, because they restrict facts.
 */
function nearest({ predicate, args }: Fact, { program, factTypes }: ActivePolicy): string[] {
  const used = Map.groupBy(factTypes, (known) => splitKey(known.predicate)[0]);
  const heads = Map.groupBy(program.heads.keys(), (key) => splitKey(key)[0]);
  const names = new Set([...used.keys(), ...heads.keys()]);
  const name = names.has(predicate) ? predicate : suggestion(predicate, names);
  if (name === undefined) return [];
  const derived = (heads.get(name) ?? []).flatMap((key) => headsLike(key, args, program, factTypes));
  const known = [...(used.get(name) ?? []).map((type) => ({ ...type, text: formatFactType(type) })), ...derived];
  const agreement = ({ types }: FactType): number =>
    types.filter((type, index) => type === undefined || type === args[index]?.type).length -
    Math.abs(types.length - args.length);
  return [...new Set(known.toSorted((one, other) => agreement(other) - agreement(one)).map(({ text }) => text))].slice(
    0,
    nearestMax,
  );
}

/** The heads of a predicate whose types no body uses. Of several types of an argument, the given one or the first. */
function headsLike(
  key: string,
  args: readonly Value[],
  program: DatalogProgram,
  factTypes: readonly FactType[],
): (FactType & { readonly text: string })[] {
  const anything = Array.from({ length: splitKey(key)[1] }, () => undefined);
  return factHeads(program, key, anything).flatMap((head) => {
    const types = head.map(({ types: accepted }, position) => {
      const type = args[position]?.type;
      return type !== undefined && accepted?.has(type) ? type : accepted?.values().next().value;
    });
    if (isCovered(factTypes, key, types)) return [];
    const shown = types.map((type, position) => {
      const id = head[position]?.id;
      return type === "String" && id !== undefined ? stringLiteral(id) : type;
    });
    return [{ predicate: key, types, text: formatFactType({ predicate: key, types: shown }) }];
  });
}

/** `has_role(User, String, Org)`; `_` stands for any type. */
export function formatFactType(known: FactType): string {
  return `${splitKey(known.predicate)[0]}(${known.types.map((type) => type ?? "_").join(", ")})`;
}

/** Stored facts of one fact type. */
export interface FactCount {
  /** `has_role(User, String, Org)`. */
  readonly facts: string;
  readonly count: number;
}

/**
 * The unused facts: stored facts that the active policy accepts and `after` does not. They are ignored, and count again
 * as soon as a policy uses them. Reads all facts of the predicates in question, and only those.
 */
export function unusedFacts(database: Connection, after: ActivePolicy): FactCount[] {
  const active = activationOf(database)?.active;
  const before = active ? readFactTypes(database, active, new TableStatistics(database)).factTypes : [];
  const isAbandoned = (predicate: string, types: FactType["types"]): boolean =>
    isCovered(before, predicate, types) && !isRead(after, predicate, types);
  const abandoned = before.filter(({ predicate, types }) => isAbandoned(predicate, types));
  return [...new Set(abandoned.map(({ predicate }) => predicate))]
    .flatMap((predicate) =>
      countByTypes(database, ...splitKey(predicate))
        .filter(({ types }) => isAbandoned(predicate, types))
        .map(({ types, count }) => ({ facts: formatFactType({ predicate, types }), count })),
    )
    .toSorted((one, other) => (one.facts < other.facts ? -1 : 1));
}

/** One sentence that counts the unused facts; `undefined` if there are none. */
export function unusedFactsWarning(unused: readonly FactCount[]): string | undefined {
  if (unused.length === 0) return undefined;
  const list = unused.map(({ facts, count }) => `${count} \`${facts}\``).join(", ");
  return `the policy no longer uses stored facts: ${list}; they stay, and are ignored until a policy uses them again`;
}

/** In the format of Oso Cloud: strings as literals, other values as their types. */
function formatFact(fact: Fact): string {
  const args = fact.args.map((arg) => (arg.type === "String" ? stringLiteral(arg.id) : arg.type));
  return `${fact.predicate}(${args.join(", ")})`;
}
