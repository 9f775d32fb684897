/**
 * The checked policy, which `compile` returns. Every rule is longhand, and the two default `allow` rules are present if
 * the policy defines none.
 */
import type { Span } from "./span.ts";

/** A fact has 1 to this many arguments. A predicate with another number is only derived, never stored. */
export const factArgumentsMax = 5;

export interface Policy {
  /** Actor and resource blocks by type name. Blocks of one type are merged. */
  readonly types: ReadonlyMap<string, TypeDeclaration>;
  readonly global: { readonly roles: readonly string[]; readonly permissions: readonly string[] };
  /** Every declared name with its span, each once, without inherited names. */
  readonly names: readonly DeclaredName[];
  readonly rules: readonly Rule[];
  readonly declarations: readonly FactDeclaration[];
  readonly tests: readonly PolicyTest[];
}

export interface DeclaredName {
  readonly name: string;
  readonly kind: "role" | "permission" | "relation";
  /** The type whose block declares it; `global` for the global block. */
  readonly owner: string;
  readonly span: Span;
}

export interface TypeDeclaration {
  readonly name: string;
  readonly kind: "actor" | "resource";
  readonly supertypes: readonly string[];
  /** Own and inherited names, in order of declaration. */
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  /** Relation name to type name, own and inherited. */
  readonly relations: ReadonlyMap<string, string>;
  readonly span: Span;
}

export interface Rule {
  readonly predicate: string;
  readonly params: readonly Param[];
  /** `undefined` for a policy fact. */
  readonly body: Expression | undefined;
  readonly span: Span;
  /** True for the two default `allow` rules of a policy that defines none. They add no fact type. */
  readonly implicit: boolean;
}

/** A typed variable (`u: User`), an untyped one, or a literal. Each `_` has a fresh name (`_1`, `_2`, …). */
export interface Param {
  readonly term: Term;
  readonly type: string | undefined;
}

export type Term =
  | { readonly kind: "variable"; readonly name: string; readonly span: Span }
  | Literal
  | { readonly kind: "now"; readonly span: Span };

/** A typed value. Integers and booleans are in their wire form: `"42"`, `"true"`. */
export interface Literal {
  readonly kind: "literal";
  readonly type: string;
  readonly id: string;
  readonly span: Span;
}

export type Comparison = "<" | "<=" | ">" | ">=" | "!=";

export type Expression = { readonly span: Span } & (
  | { readonly kind: "and"; readonly operands: readonly Expression[] }
  | { readonly kind: "or"; readonly operands: readonly Expression[] }
  | { readonly kind: "not"; readonly operand: Expression }
  | { readonly kind: "call"; readonly predicate: string; readonly args: readonly Term[] }
  | { readonly kind: "equal"; readonly left: Term; readonly right: Term }
  | { readonly kind: "compare"; readonly operator: Comparison; readonly left: Term; readonly right: Term }
  | { readonly kind: "in"; readonly term: Term; readonly values: readonly Literal[] }
  | { readonly kind: "matches"; readonly variable: string; readonly type: string; readonly exact: boolean }
  | { readonly kind: "boolean"; readonly value: boolean }
);

export interface FactDeclaration {
  readonly predicate: string;
  readonly types: readonly string[];
  readonly span: Span;
}

export interface PolicyTest {
  readonly name: string;
  /** The facts of its `setup`, and those of the fixtures that it includes. */
  readonly facts: readonly { readonly predicate: string; readonly args: readonly Literal[]; readonly span: Span }[];
  readonly assertions: readonly Assertion[];
  readonly span: Span;
}

export interface Assertion {
  readonly expected: boolean;
  readonly predicate: string;
  readonly params: readonly Param[];
  /** `assert p(…, x: T) iff x in [...]`: the condition, as written. */
  readonly iff: Expression | undefined;
  readonly span: Span;
}
