/** One assertion of a policy test (polar.md 10): what it expects, what the engine answers, and where the two differ. */
import { predicateKey } from "../datalog/program.ts";
import type { Assertion, Expression } from "../polar/policy.ts";
import type { Value } from "../store/fact.ts";
import { AppError } from "../util/app-error.ts";
import { assert, must } from "../util/assert.ts";
import type { ActivePolicy } from "./active-policy.ts";
import type { Engine } from "./engine.ts";
import { anyId, type Atom, formatAtom, type OpenAtom } from "./explain/atom.ts";
import type { Query } from "./questions.ts";

export interface Outcome {
  /** What the assertion demands and the engine does not say. */
  readonly missing: readonly OpenAtom[];
  /** What the engine says and the assertion does not allow. */
  readonly surplus: readonly Atom[];
  /** `undefined` where the assertion holds. */
  readonly problem: string | undefined;
}

/** Throws `AppError` where the question can't be answered. */
export function checkAssertion(assertion: Assertion, active: ActivePolicy, engine: Engine): Outcome {
  const found = assertedAtoms(assertion, active, engine);
  if (assertion.iff) return compareWithList(assertion, assertion.iff, found);
  if (found.length > 0 === assertion.expected) return held;
  if (assertion.expected) return { missing: [openAtom(assertion)], surplus: [], problem: "expected true, came false" };
  const problem = `expected false, came true${describe(assertion, found)}`;
  return { missing: [], surplus: found, problem };
}

const held: Outcome = { missing: [], surplus: [], problem: undefined };

/**
 * The values that the variable has in all answers together must be the listed ones (polar.md 14), whatever other variables there are; of
 * `assert_not`, any others. A wildcard answer is never a listed value.
 */
function compareWithList(assertion: Assertion, iff: Expression, found: readonly Atom[]): Outcome {
  assert(iff.kind === "in" && iff.term.kind === "variable", "the checks let only `variable in [...]` pass");
  const { name } = iff.term;
  const isNamed = assertion.params.map(({ term }) => term.kind === "variable" && term.name === name);
  const valueOf = (atom: Atom): string => printValue(must(atom.args[isNamed.indexOf(true)]));
  const listed = new Map(iff.values.map((value) => [printValue(value), value]));
  const came = new Set(found.map(valueOf));
  const missing = [...listed].filter(([text]) => !came.has(text));
  const surplus = [...came].filter((text) => !listed.has(text));
  const same = missing.length + surplus.length === 0;
  if (same === assertion.expected) return held;
  if (!assertion.expected) {
    return { missing: [], surplus: [], problem: "expected other answers than those of `iff`, came exactly those" };
  }
  const open = openAtom(assertion);
  const difference = [...missing.map(([text]) => `missing ${text}`), ...surplus.map((text) => `not expected ${text}`)];
  return {
    missing: missing.map(([, { type, id }]) => ({
      ...open,
      args: open.args.map((arg, index) => (isNamed[index] ? { type, id } : arg)),
    })),
    surplus: found.filter((atom) => !listed.has(valueOf(atom))),
    problem: `expected ${list([...listed.keys()], "no answers")}; came ${list([...came], "none")}; ${difference.join(", ")}`,
  };
}

function list(texts: readonly string[], none: string): string {
  return texts.length === 0 ? none : texts.join(", ");
}

/** Everything that the assertion's head covers and the engine says, in order of its values. */
export function assertedAtoms(assertion: Assertion, active: ActivePolicy, engine: Engine): Atom[] {
  const names = assertion.params.map(({ term }, index) => (term.kind === "variable" ? `v:${term.name}` : `a:${index}`));
  const atoms = new Map<string, Atom>();
  for (const variables of typings(assertion, names, active)) {
    const query: Query = { calls: [{ predicate: assertion.predicate, variables: names }], variables, contextFacts: [] };
    for (const row of engine.query(query)) {
      const args = names.map((name): Value => ({ type: must(variables.get(name)).type, id: row[name] ?? anyId }));
      const atom = { predicate: predicateKey(assertion.predicate, args.length), args };
      atoms.set(formatAtom(atom), atom);
    }
  }
  return [...atoms].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, atom]) => atom);
}

/** What is asserted, open where it has variables. */
export function openAtom({ predicate, params }: Assertion): OpenAtom {
  const args = params.map(({ term }) => (term.kind === "literal" ? { type: term.type, id: term.id } : undefined));
  return { predicate: predicateKey(predicate, params.length), args };
}

/** Over every concrete type that the variables may have. */
function typings(assertion: Assertion, names: readonly string[], active: ActivePolicy): Query["variables"][] {
  let maps: Map<string, { type: string; ids: readonly string[] | null }>[] = [new Map()];
  assertion.params.forEach(({ term, type }, index) => {
    const name = must(names[index]);
    if (term.kind === "now") throw new AppError("invalid_request", "the clock can't be an argument of an assertion");
    if (term.kind === "literal") {
      for (const map of maps) map.set(name, { type: term.type, ids: [term.id] });
      return;
    }
    const types =
      type === undefined ? new Set(["String", "Integer", "Boolean", ...active.types]) : active.universe.concrete(type);
    maps = maps.flatMap((map) => {
      const present = map.get(name);
      if (present) return types.has(present.type) ? [map] : [];
      return [...types].map((concrete) => new Map(map).set(name, { type: concrete, ids: null }));
    });
  });
  return maps;
}

/** ` for "read", "write"`: the values of the assertion's variables. */
function describe(assertion: Assertion, atoms: readonly Atom[]): string {
  if (!assertion.params.some(({ term }) => term.kind === "variable")) return "";
  const shown = atoms.slice(0, 5).map((atom) => variablesOf(assertion, atom));
  return ` for ${shown.join(", ")}${atoms.length > 5 ? ", …" : ""}`;
}

function variablesOf({ params }: Assertion, { args }: Atom): string {
  const values = params.flatMap(({ term }, index) => (term.kind === "variable" ? [printValue(must(args[index]))] : []));
  return values.length === 1 ? values.join() : `(${values.join(", ")})`;
}

function printValue({ type, id }: Value): string {
  if (id === anyId) return `every ${type}`;
  if (type === "Integer" || type === "Boolean") return id;
  return type === "String" ? JSON.stringify(id) : `${type}{${JSON.stringify(id)}}`;
}
