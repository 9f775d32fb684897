/** Specialised rules: a graph of predicates with a fixed type or constant for each argument, and their typed clauses. */
import type { Constant, ProgramLiteral, ProgramRule, ProgramTerm } from "./program.ts";
import type { TypeName } from "./signature.ts";

export type NodeArgument =
  { readonly kind: "const"; readonly value: Constant } | { readonly kind: "open"; readonly type: TypeName };

export interface PredicateNode {
  readonly id: number;
  readonly predicate: string;
  readonly args: readonly NodeArgument[];
  clauses: readonly NodeClause[];
  /** Nodes whose answers this one contains by copy rules alone, itself included. */
  copies: ReadonlySet<PredicateNode>;
  component: number;
  recursive: boolean;
  productive: boolean;
}

export interface NodeClause {
  /** One term for each open argument of the node. */
  readonly head: readonly ProgramTerm[];
  readonly body: SpecialisedBody;
  readonly rule: ProgramRule;
}

/** A typed conjunction. `types` is by variable; variables of an enclosing body keep their numbers. */
export interface SpecialisedBody {
  readonly types: readonly TypeName[];
  readonly literals: readonly SpecialisedLiteral[];
}

export type SpecialisedLiteral =
  | {
      readonly kind: "call";
      readonly predicate: string;
      readonly args: readonly ProgramTerm[];
      /** Whether stored facts, context facts, and rules may answer it. */
      readonly fact: boolean;
      readonly context: boolean;
      readonly node: PredicateNode | undefined;
    }
  /** None of the bodies can be made true. `outer` are the variables that they share with what is around them; others are their own. */
  | { readonly kind: "not"; readonly bodies: readonly SpecialisedBody[]; readonly outer: ReadonlySet<number> }
  | Extract<ProgramLiteral, { kind: "equal" | "compare" | "type" }>;

export type SpecialisedCall = Extract<SpecialisedLiteral, { kind: "call" }>;
export type SpecialisedNegation = Extract<SpecialisedLiteral, { kind: "not" }>;
