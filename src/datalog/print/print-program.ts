/** Prints the results of the passes over a whole policy: rules in normal form, types of facts, signatures. */
import type { FactType } from "../analysis/fact-types.ts";
import {
  type DatalogProgram,
  programCalls,
  type ProgramLiteral,
  type ProgramRule,
  type ProgramTerm,
  splitKey,
} from "../ir/program.ts";
import type { Signature } from "../ir/signature.ts";
import { printCondition, printPredicate, printProgramTerm, printTypes } from "./print-terms.ts";

/** The predicates that calls of these predicates lead to, themselves included. */
export function reachedPredicates(program: DatalogProgram, start: Iterable<string>): ReadonlySet<string> {
  const rules = Map.groupBy(program.rules, ({ predicate }) => predicate);
  const reached = new Set(start);
  for (const predicate of reached) {
    for (const { body } of rules.get(predicate) ?? [])
      for (const { call } of programCalls(body)) reached.add(call.predicate);
  }
  return reached;
}

/** `has_role(v0: User, "reader", v1: Folder) if …`. Variables have numbers. */
export function printProgramRule({ predicate, head, body, types }: ProgramRule): string {
  const typed = new Set<number>();
  const params = head.map((term) => {
    const printed = printProgramTerm(term, variableName);
    const allowed = term.kind === "var" && !typed.has(term.index) ? types[term.index] : undefined;
    if (term.kind === "var") typed.add(term.index);
    return allowed ? `${printed}: ${printTypes(allowed)}` : printed;
  });
  const conditions = [
    ...types.flatMap((allowed, index) =>
      allowed && !typed.has(index) ? [`${variableName(index)} matches ${printTypes(allowed)}`] : [],
    ),
    ...body.map(printProgramLiteral),
  ];
  const condition = conditions.length > 0 ? ` if ${conditions.join(" and ")}` : "";
  return `${splitKey(predicate)[0]}(${params.join(", ")})${condition}`;
}

function variableName(index: number): string {
  return `v${index}`;
}

function printProgramLiteral(literal: ProgramLiteral): string {
  const term = (one: ProgramTerm): string => printProgramTerm(one, variableName);
  switch (literal.kind) {
    case "call":
      return `${splitKey(literal.predicate)[0]}(${literal.args.map(term).join(", ")})`;
    case "not":
      return `not (${literal.body.map(printProgramLiteral).join(" and ")})`;
    default:
      return printCondition(literal, term);
  }
}

/** `has_role(User, String, _)`: `_` is any type, and `?0` the type of the argument 0. */
export function printSignature(predicate: string, signature: Signature | FactType["types"]): string {
  return `${printPredicate(predicate, new Map())}(${signature.map((type) => type ?? "_").join(", ")})`;
}
