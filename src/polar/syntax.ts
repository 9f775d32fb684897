/** The syntax tree: the source as written, with spans, before names are resolved and shorthand is expanded. */
import type { Comparison } from "./policy.ts";
import type { Span } from "./span.ts";

export interface Program {
  readonly statements: readonly Statement[];
  /** A syntax error destroyed the beginning of a statement, so its declarations are unknown. */
  readonly incomplete: boolean;
}

export type Statement = Block | RuleStatement | RuleType | Declare | InlineQuery | Fixture | Test;

export interface Name {
  readonly text: string;
  readonly span: Span;
}

export interface Block {
  readonly kind: "block";
  readonly blockKind: "actor" | "resource" | "global";
  /** `global` for the global block. */
  readonly name: Name;
  readonly supertypes: readonly Name[];
  readonly sections: readonly Section[];
  readonly rules: readonly ShorthandRule[];
  /** A syntax error destroyed a section of the block, so some of its names are unknown. */
  readonly incomplete: boolean;
  readonly span: Span;
}

/** `roles = [...]`, `relations = {...}`. */
export interface Section {
  readonly name: Name;
  readonly value: List | Dictionary;
  readonly span: Span;
}

export interface List {
  readonly kind: "list";
  readonly items: readonly Term[];
  readonly span: Span;
}

export interface Dictionary {
  readonly kind: "dictionary";
  readonly entries: readonly { readonly key: Name; readonly type: Name | undefined }[];
  readonly span: Span;
}

export interface ShorthandRule {
  /** `@name` before the rule, as written. Flags have no meaning here. */
  readonly flags: readonly Name[];
  readonly head: ShorthandTerm;
  readonly body: ShorthandExpression;
  readonly span: Span;
}

/** `"reader"` or a bare word such as `role`. */
export interface ShorthandTerm {
  readonly quoted: boolean;
  readonly text: string;
  readonly span: Span;
}

export type ShorthandExpression =
  | { readonly kind: "and"; readonly operands: readonly ShorthandExpression[]; readonly span: Span }
  | { readonly kind: "or"; readonly operands: readonly ShorthandExpression[]; readonly span: Span }
  | ShorthandAtom;

export type ShorthandAtom =
  | Call
  | { readonly kind: "name" | "global"; readonly term: ShorthandTerm; readonly span: Span }
  | { readonly kind: "on"; readonly term: ShorthandTerm; readonly target: ShorthandTerm; readonly span: Span };

export interface RuleStatement {
  readonly kind: "rule";
  /** `@name` before the rule, as written. Flags have no meaning here. */
  readonly flags: readonly Name[];
  readonly head: Head;
  readonly body: Expression | undefined;
  /** The parser continued after a syntax error in it, so parts of the rule may be missing. */
  readonly flawed: boolean;
  readonly span: Span;
}

export interface Head {
  readonly predicate: Name;
  readonly params: readonly Param[];
  readonly span: Span;
}

export interface Param {
  readonly term: Term;
  readonly type: Name | undefined;
}

export interface RuleType {
  readonly kind: "ruleType";
  readonly head: Head;
  readonly span: Span;
}

export interface Declare {
  readonly kind: "declare";
  readonly predicate: Name;
  readonly types: readonly Name[];
  readonly span: Span;
}

export interface InlineQuery {
  readonly kind: "inlineQuery";
  readonly body: Expression;
  readonly span: Span;
}

export interface Fixture {
  readonly kind: "fixture";
  readonly name: Name;
  readonly facts: readonly Call[];
  readonly span: Span;
}

export interface Test {
  readonly kind: "test";
  readonly name: Name;
  readonly setup: readonly SetupItem[];
  /** From `setup` to its `}`, if there is one. */
  readonly setupSpan: Span | undefined;
  readonly assertions: readonly Assertion[];
  readonly span: Span;
}

export type SetupItem = Call | { readonly kind: "useFixture"; readonly name: Name; readonly span: Span };

export interface Assertion {
  readonly expected: boolean;
  readonly head: Head;
  readonly iff: Expression | undefined;
  readonly span: Span;
}

export type Expression = { readonly span: Span } & (
  | { readonly kind: "and"; readonly operands: readonly Expression[] }
  | { readonly kind: "or"; readonly operands: readonly Expression[] }
  | { readonly kind: "not"; readonly operand: Expression }
  | Call
  | { readonly kind: "equal"; readonly left: Term; readonly right: Term }
  | { readonly kind: "compare"; readonly operator: Comparison; readonly left: Term; readonly right: Term }
  | { readonly kind: "in"; readonly term: Term; readonly list: List }
  | { readonly kind: "matches"; readonly variable: Variable; readonly type: Name; readonly exact: boolean }
  | { readonly kind: "boolean"; readonly value: boolean }
);

export interface Call {
  readonly kind: "call";
  readonly predicate: Name;
  readonly args: readonly Term[];
  readonly span: Span;
}

export type Term =
  | Variable
  | Scalar
  /** `User{"alice"}` */
  | { readonly kind: "typed"; readonly type: Name; readonly value: Scalar; readonly span: Span }
  | { readonly kind: "now"; readonly span: Span };

export interface Variable {
  readonly kind: "variable";
  readonly name: string;
  readonly span: Span;
}

export interface Scalar {
  readonly kind: "string" | "integer" | "boolean";
  /** The value in its wire form. */
  readonly text: string;
  readonly span: Span;
}
