/**
 * Finds the steps of recursive clauses: the stored facts between a head and its recursive call. A step changes one
 * argument and keeps the others. Variables have canonical numbers, so rules over the same facts have equal steps.
 */
import { must } from "../../util/assert.ts";
import type { ClosureStep, StepTerm } from "../ir/closure.ts";
import { type ProgramTerm, termVariables } from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import {
  factCall,
  type NodeClause,
  openArguments,
  type PredicateNode,
  type SpecialisedCall,
  type SpecialisedLiteral,
} from "../ir/specialised.ts";

export type NodeCall = SpecialisedCall & { readonly node: PredicateNode };

/**
 * The step of a clause that consists of stored facts and `call`, and the position of the argument that it changes.
 * `nowhere` if the call is the head itself. `undefined` for clauses with context facts, conditions, or facts about an
 * argument that does not change.
 */
export function stepOf(
  clause: NodeClause,
  call: NodeCall,
): { readonly position: number; readonly step: ClosureStep } | "nowhere" | undefined {
  const { head, body } = clause;
  const open = openArguments(call.node, call.args);
  const variables = head.flatMap(termVariables);
  if (open.length !== head.length || new Set(variables).size !== head.length) return undefined;
  const changed = open.flatMap((term, position) => (isVariable(term, variables[position]) ? [] : [position]));
  const [position] = changed;
  if (position === undefined) return "nowhere";
  const [from, to] = [variables[position], open[position]];
  if (changed.length > 1 || from === undefined || to?.kind !== "var" || variables.includes(to.index)) return undefined;
  const atoms = body.literals.filter((literal) => literal !== call);
  if (!atoms.every(isStored)) return undefined;
  const used = new Set(atoms.flatMap(({ args }) => args.flatMap(termVariables)));
  const staying = variables.filter((variable) => variable !== from);
  if (!used.has(from) || !used.has(to.index) || staying.some((variable) => used.has(variable))) return undefined;
  return { position, step: canonical(atoms, [from, to.index], body.types) };
}

/** Whether the step goes against its facts, which mostly lead from their first argument: from member to team. */
export function isBackward({ atoms }: ClosureStep): boolean {
  const leads = (end: number): boolean =>
    atoms.some(({ args: [first] }) => first?.kind === "var" && first.index === end);
  return leads(1) && !leads(0);
}

/** The step with its two ends exchanged. */
export function inverse({ atoms, types: [from, to, ...others] }: ClosureStep): ClosureStep {
  const exchange = (arg: StepTerm): StepTerm =>
    arg.kind === "var" && arg.index < 2 ? { kind: "var", index: 1 - arg.index } : arg;
  const renamed = atoms.map(({ predicate, args }) => ({ predicate, args: args.map(exchange) }));
  return { atoms: renamed, types: [to, from, ...others] };
}

/** The first step followed by the second. */
export function compose(first: ClosureStep, second: ClosureStep): ClosureStep {
  // The variables of the second step get numbers after those of the first. It begins at the end of the first.
  const shift = first.types.length;
  const shifted = (arg: StepTerm): StepTerm => {
    if (arg.kind === "const") return arg;
    return { kind: "var", index: arg.index === 0 ? 1 : arg.index + shift };
  };
  const onward = second.atoms.map(({ predicate, args }) => ({ predicate, args: args.map(shifted) }));
  return canonical([...first.atoms, ...onward], [0, 1 + shift], [...first.types, ...second.types]);
}

/** The facts of the step as literals. `terms` has a term for each variable. */
export function stepLiterals({ atoms }: ClosureStep, terms: readonly ProgramTerm[]): SpecialisedLiteral[] {
  const term = (arg: StepTerm): ProgramTerm => (arg.kind === "const" ? arg : must(terms[arg.index]));
  return atoms.map(({ predicate, args }) => factCall(predicate, args.map(term)));
}

function isVariable(term: ProgramTerm, index: number | undefined): boolean {
  return term.kind === "var" && term.index === index;
}

function isStored(literal: SpecialisedLiteral): literal is SpecialisedCall {
  const isFact = literal.kind === "call" && literal.fact && !literal.context && literal.node === undefined;
  return isFact && literal.args.every((arg) => arg.kind !== "now");
}

/** The ends become variables 0 and 1. Other variables get numbers in the order of their use. */
function canonical(
  atoms: readonly { readonly predicate: string; readonly args: readonly ProgramTerm[] }[],
  ends: readonly number[],
  types: readonly TypeName[],
): ClosureStep {
  const numbers = new Map(ends.map((variable, index) => [variable, index]));
  const number = (variable: number): number => numbers.getOrInsertComputed(variable, () => numbers.size);
  const term = (arg: ProgramTerm): StepTerm[] => {
    if (arg.kind === "now") return [];
    return [arg.kind === "var" ? { kind: "var", index: number(arg.index) } : { kind: "const", value: arg.value }];
  };
  const renamed = atoms.map(({ predicate, args }) => ({ predicate, args: args.flatMap(term) }));
  return { atoms: renamed, types: [...numbers.keys()].map((variable) => types[variable]) };
}
