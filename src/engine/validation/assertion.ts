/** The check of one assertion of a policy test: what it expects, what the engine answers, and the difference. */
import { predicateKey } from "../../datalog/ir/program.ts";
import type { Assertion, Expression, Term } from "../../polar/policy.ts";
import type { Value } from "../../store/facts/fact.ts";
import { assert, must } from "../../util/assert.ts";
import { anyId, formatAtom, formatValue, type GroundAtom, type OpenAtom } from "../explain/atom.ts";
import type { CallAnswers, CallArgument } from "../explain/call-answers.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import { variableTypes } from "../../policy/policy-warnings.ts";
import { factKey, valueKey } from "../../policy/keys.ts";

export interface AssertionOutcome extends Difference {
  /** All atoms that match the assertion and that the engine answers, sorted by their text. */
  readonly found: readonly GroundAtom[];
}

interface Difference {
  /** Atoms that the assertion expects and the engine does not answer. */
  readonly missing: readonly OpenAtom[];
  /** Atoms that the engine answers and the assertion does not expect. */
  readonly surplus: readonly GroundAtom[];
  /** `undefined` if the assertion holds. */
  readonly problem: string | undefined;
}

const none: Difference = { missing: [], surplus: [], problem: undefined };

/** Throws `AppError` if the question cannot be answered, and `WorkLimitReached` if it takes too much work. */
export function checkAssertion(assertion: Assertion, answers: CallAnswers): AssertionOutcome {
  const found = assertedAtoms(assertion, answers);
  return { found, ...difference(assertion, found) };
}

function difference(assertion: Assertion, found: readonly GroundAtom[]): Difference {
  const open = openAtom(assertion);
  if (assertion.iff) return compareWithList(assertion, assertion.iff, open, found);
  if (found.length > 0 === assertion.expected) return none;
  if (assertion.expected) return { ...none, missing: [open], problem: "expected true, came false" };
  return { ...none, surplus: found, problem: `expected false, came true${describe(assertion, found)}` };
}

/**
 * The values of the variable in all answers together must be the listed ones, whatever the other variables are. For
 * `assert_not` they must differ. A wildcard answer is never a listed value.
 */
function compareWithList(
  assertion: Assertion,
  iff: Expression,
  open: OpenAtom,
  found: readonly GroundAtom[],
): Difference {
  assert(iff.kind === "in" && iff.term.kind === "variable", "the checks let only `variable in [...]` pass");
  const { name } = iff.term;
  const isNamed = assertion.params.map(({ term }) => term.kind === "variable" && term.name === name);
  const valuesIn = (atom: GroundAtom): readonly Value[] => valuesOf(must(atom.args[isNamed.indexOf(true)]));
  const listed = byKey(iff.values.map(({ type, id }) => ({ type, id })));
  const actual = byKey(found.flatMap(valuesIn));
  const missing = [...listed].flatMap(([key, value]) => (actual.has(key) ? [] : [value]));
  const surplus = [...actual].flatMap(([key, value]) => (listed.has(key) ? [] : [value]));
  const same = missing.length + surplus.length === 0;
  if (same === assertion.expected) return none;
  if (same) return { ...none, problem: "expected other answers than those of `iff`, but got exactly those" };
  const differences = [
    ...missing.map((value) => `missing ${printValue(value)}`),
    ...surplus.map((value) => `not expected ${printValue(value)}`),
  ];
  return {
    missing: missing.map((value) => ({
      ...open,
      args: open.args.map((arg, index) => (isNamed[index] ? value : arg)),
    })),
    surplus: found.filter((atom) => valuesIn(atom).some((value) => !listed.has(valueKey(value)))),
    problem: `expected ${printValues(listed, "no answers")}; came ${printValues(actual, "none")}; ${differences.join(", ")}`,
  };
}

/** "Every Boolean" is two values. */
function valuesOf(value: Value): readonly Value[] {
  if (value.type !== "Boolean" || value.id !== anyId) return [value];
  return ["true", "false"].map((id) => ({ type: "Boolean", id }));
}

function byKey(values: readonly Value[]): ReadonlyMap<string, Value> {
  return new Map(values.map((value) => [valueKey(value), value]));
}

function printValues(values: ReadonlyMap<string, Value>, none: string): string {
  return values.size === 0 ? none : [...values.values()].map(printValue).join(", ");
}

function assertedAtoms(assertion: Assertion, answers: CallAnswers): GroundAtom[] {
  const predicate = predicateKey(assertion.predicate, assertion.params.length);
  const atoms = new Map<string, GroundAtom>();
  for (const args of answers.everyRow(predicate, argumentsOf(assertion, answers.active))) {
    const atom = { predicate, args };
    atoms.set(factKey(atom), atom);
  }
  const printed = [...atoms.values()].map((atom) => [formatAtom(atom), atom] as const);
  return printed.sort(([one], [other]) => (one < other ? -1 : 1)).map(([, atom]) => atom);
}

/** The asserted atom; variables are open arguments. */
export function openAtom({ predicate, params }: Assertion): OpenAtom {
  const args = params.map(({ term }) => valueOf(term));
  return { predicate: predicateKey(predicate, params.length), args };
}

function argumentsOf({ params }: Assertion, { universe }: ActivePolicy): CallArgument[] {
  const names = params.map(({ term }) => (term.kind === "variable" ? term.name : undefined));
  return params.map(({ term }) => {
    if (term.kind !== "variable") return { kind: "value", value: must(valueOf(term)) };
    return { kind: "variable", index: names.indexOf(term.name), types: variableTypes(term.name, params, universe) };
  });
}

function valueOf(term: Term): Value | undefined {
  assert(term.kind !== "now", "the checks let no clock pass");
  return term.kind === "literal" ? { type: term.type, id: term.id } : undefined;
}

/** ` for "read", "write"`: the values of the assertion's variables. */
function describe(assertion: Assertion, atoms: readonly GroundAtom[]): string {
  if (!assertion.params.some(({ term }) => term.kind === "variable")) return "";
  const shown = atoms.slice(0, 5).map((atom) => variablesOf(assertion, atom));
  return ` for ${shown.join(", ")}${atoms.length > 5 ? ", …" : ""}`;
}

function variablesOf({ params }: Assertion, { args }: GroundAtom): string {
  const values = params.flatMap(({ term }, index) => (term.kind === "variable" ? [printValue(must(args[index]))] : []));
  return values.length === 1 ? values.join() : `(${values.join(", ")})`;
}

function printValue({ type, id }: Value): string {
  return id === anyId ? `every ${type}` : formatValue({ type, id });
}
