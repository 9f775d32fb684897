/** Prints the specialised rules of a question. `has_role#3` is a node; predicates without a number are stored facts. */
import { printLiteral } from "../../polar/print.ts";
import type { Span } from "../../polar/span.ts";
import { must } from "../../util/assert.ts";
import type { Closure, ClosureStep, StepTerm } from "../ir/closure.ts";
import { type ProgramTerm, splitKey } from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import {
  openArguments,
  type PredicateNode,
  type SpecialisedBody,
  type SpecialisedCall,
  type SpecialisedLiteral,
} from "../ir/specialised.ts";
import { type ClosureLabels, printCondition, printPredicate, printProgramTerm } from "./print-terms.ts";

export interface PrintedRule {
  /** `(user, folder) if …` */
  readonly text: string;
  /** The span of the rule in the policy. */
  readonly span: Span;
}

export interface PrintedNode {
  /** `has_role#3(User, "reader", Folder)` */
  readonly node: string;
  readonly rules: readonly PrintedRule[];
  /** Whether the node reaches itself, so that SQL has to walk it. */
  readonly recursive: boolean;
}

/** The conjunction of the question itself. `names` are the names of its variables. */
export function printQuestion(body: SpecialisedBody, names: readonly string[], closures: ClosureLabels): string {
  return body.literals.map((literal) => printSpecialised(literal, namesFrom(names), closures)).join(" and ");
}

/** Every node that the question reaches, in breadth-first order. */
export function printNodes(body: SpecialisedBody, closures: ClosureLabels): PrintedNode[] {
  const nodes = new Set<PredicateNode>();
  const visit = (literals: readonly SpecialisedLiteral[]): void => {
    for (const literal of literals) {
      if (literal.kind === "not") for (const inner of literal.bodies) visit(inner.literals);
      if (literal.kind === "call" && literal.node) nodes.add(literal.node);
    }
  };
  visit(body.literals);
  for (const node of nodes) for (const clause of node.clauses) visit(clause.body.literals);
  return [...nodes].map((node) => printNode(node, closures));
}

function printNode(node: PredicateNode, closures: ClosureLabels): PrintedNode {
  const args = node.args.map((arg) => (arg.kind === "const" ? printLiteral(arg.value) : (arg.type ?? "_")));
  const rules = node.clauses.map((clause) => {
    const name = namesOf(clause.body.types);
    const head = clause.head.map((term) => printProgramTerm(term, name)).join(", ");
    const body = clause.body.literals.map((literal) => printSpecialised(literal, name, closures)).join(" and ");
    return { text: `(${head})${body === "" ? "" : ` if ${body}`}`, span: clause.rule.span };
  });
  return { node: `${label(node)}(${args.join(", ")})`, rules, recursive: node.recursive };
}

/** The steps of a closure, each as a conjunction from `from` to `to`, with types if the steps relate several. */
export function printClosure({ steps }: Closure): string {
  const isMixed = new Set(steps.flatMap(({ types: [from, to] }) => [from, to])).size > 1;
  return steps.map((step) => printStep(step, isMixed)).join(" or ");
}

function printStep({ atoms, types }: ClosureStep, withTypes: boolean): string {
  const ends = ["from", "to"].map((end, index) => (withTypes ? `${end}: ${types[index]}` : end));
  const name = namesFrom([...ends, ...types.slice(2).map((_, index) => `via${index + 1}`)]);
  const term = (arg: StepTerm): string => (arg.kind === "const" ? printLiteral(arg.value) : name(arg.index));
  return atoms.map(({ predicate, args }) => `${splitKey(predicate)[0]}(${args.map(term).join(", ")})`).join(" and ");
}

function printSpecialised(
  literal: SpecialisedLiteral,
  name: (variable: number) => string,
  closures: ClosureLabels,
): string {
  const term = (one: ProgramTerm): string => printProgramTerm(one, name);
  switch (literal.kind) {
    case "call":
      return printCall(literal, term, closures);
    case "not": {
      const bodies = literal.bodies.map(({ literals }) =>
        literals.map((inner) => printSpecialised(inner, name, closures)).join(" and "),
      );
      return `not (${bodies.join(" or ")})`;
    }
    default:
      return printCondition(literal, term);
  }
}

function printCall(call: SpecialisedCall, term: (one: ProgramTerm) => string, closures: ClosureLabels): string {
  const name = printPredicate(call.predicate, closures);
  const ways: string[] = [];
  if (call.fact || call.context) ways.push(`${name}(${call.args.map(term).join(", ")})`);
  const { node } = call;
  if (node) {
    ways.push(`${label(node)}(${openArguments(node, call.args).map(term).join(", ")})`);
  }
  return ways.length === 1 ? must(ways[0]) : `(${ways.join(" or ")})`;
}

function label({ predicate, id }: PredicateNode): string {
  return `${splitKey(predicate)[0]}#${id}`;
}

/** Variables have the names of their types: `folder`, `folder2`. */
function namesOf(types: readonly TypeName[]): (variable: number) => string {
  const used = new Map<string, number>();
  const names = types.map((type) => {
    const stem = type?.split("::").at(-1)?.toLowerCase() ?? "x";
    const count = (used.get(stem) ?? 0) + 1;
    used.set(stem, count);
    return count === 1 ? stem : `${stem}${count}`;
  });
  return namesFrom(names);
}

/** Variables of negations have higher numbers than those of the enclosing clause. */
function namesFrom(names: readonly string[]): (variable: number) => string {
  return (variable) => names[variable] ?? `v${variable}`;
}
