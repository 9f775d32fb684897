/** Specialised rules: a graph of predicates with a type or constant for each argument, and their typed clauses. */
import type { Constant, ProgramLiteral, ProgramRule, ProgramTerm } from "./program.ts";
import type { TypeName } from "./signature.ts";

export type NodeArgument =
  { readonly kind: "const"; readonly value: Constant } | { readonly kind: "open"; readonly type: TypeName };

export interface PredicateNode {
  readonly id: number;
  readonly predicate: string;
  readonly args: readonly NodeArgument[];
  clauses: readonly NodeClause[];
  /** The nodes that this one copies, directly or indirectly, including itself: it has all their answers. */
  copies: ReadonlySet<PredicateNode>;
  component: number;
  recursive: boolean;
  productive: boolean;
}

export interface NodeClause {
  /** A term for each open argument of the node. */
  readonly head: readonly ProgramTerm[];
  readonly body: SpecialisedBody;
  readonly rule: ProgramRule;
}

/** A typed conjunction. `types` is indexed by variable. Variables of an enclosing body keep their numbers. */
export interface SpecialisedBody {
  readonly types: readonly TypeName[];
  readonly literals: readonly SpecialisedLiteral[];
}

export type SpecialisedLiteral =
  | {
      readonly kind: "call";
      readonly predicate: string;
      readonly args: readonly ProgramTerm[];
      /** Whether stored facts and context facts may answer the call. Rules may if there is a `node`. */
      readonly fact: boolean;
      readonly context: boolean;
      readonly node: PredicateNode | undefined;
    }
  /** None of the bodies can be true. They share the variables `outer` with the enclosing body, and no others. */
  | { readonly kind: "not"; readonly bodies: readonly SpecialisedBody[]; readonly outer: ReadonlySet<number> }
  | Extract<ProgramLiteral, { kind: "equal" | "compare" | "type" }>;

export type SpecialisedCall = Extract<SpecialisedLiteral, { kind: "call" }>;
export type SpecialisedNegation = Extract<SpecialisedLiteral, { kind: "not" }>;

/** The types of the open arguments of a node. */
export function openTypes({ args }: PredicateNode): TypeName[] {
  return args.flatMap((arg) => (arg.kind === "open" ? [arg.type] : []));
}

/** Those of the `args` of a call that belong to open arguments of its node. */
export function openArguments<Term>(node: PredicateNode, args: readonly Term[]): Term[] {
  return args.filter((_, position) => node.args[position]?.kind === "open");
}

/** A call that only stored facts answer. */
export function factCall(predicate: string, args: readonly ProgramTerm[]): SpecialisedCall {
  return { kind: "call", predicate, args, fact: true, context: false, node: undefined };
}
