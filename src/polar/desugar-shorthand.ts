/**
 * Expands shorthand rules to longhand. In the block of type `T` the variables `actor: Actor` and `resource: T` are
 * implicit; in the global block only `actor` is. A name is looked up in the block and its supertypes, and its kind
 * decides the predicate:
 *
 *     "x" if …               has_role(actor: Actor, "x", resource: T) if …            or has_permission
 *     role if …              has_role(actor: Actor, role: String, resource: T) if …
 *     … "y"                  has_role(actor, "y", resource)                           or has_permission
 *     … "owner"              has_relation(resource, "owner", actor)                   a relation to an actor
 *     … "y" on "rel"         rel matches R and has_relation(resource, "rel", rel) and has_role(actor, "y", rel)
 *     … global "y"           has_role(actor, "y")
 */
import { must, unreachable } from "../util/assert.ts";
import type { Declarations, Names, NameKind } from "./declarations.ts";
import { desugarCall, type Fresh, freshNames, joined } from "./desugar-terms.ts";
import type { Expression, Param, Rule, Term } from "./policy.ts";
import type { Span } from "./span.ts";
import type { Block, ShorthandAtom, ShorthandExpression, ShorthandRule, ShorthandTerm } from "./syntax.ts";
import { callsOf, variableNames } from "./walk.ts";

export function desugarShorthand(rule: ShorthandRule, block: Block, declarations: Declarations): Rule {
  const isGlobal = block.blockKind === "global";
  const names = isGlobal ? declarations.global : must(declarations.types.get(block.name.text)).names;
  const written = variableNames(callsOf(rule.body).flatMap((call) => call.args));
  const fresh = freshNames([...implicitNames, ...written]);
  const scope: Scope = { isGlobal, names, declarations, fresh };
  const { head, span } = rule;
  const params: Param[] = [
    { term: variable("actor", head.span), type: "Actor" },
    { term: termOf(head), type: head.quoted ? undefined : "String" },
  ];
  if (!isGlobal) params.push({ term: variable("resource", head.span), type: block.name.text });
  return { predicate: predicateOf(head, names), params, body: expand(rule.body, scope), span, implicit: false };
}

/** Implicit variables of a shorthand rule. */
const implicitNames = ["actor", "resource", "role", "permission"];

interface Scope {
  readonly isGlobal: boolean;
  readonly names: Names;
  readonly declarations: Declarations;
  readonly fresh: Fresh;
}

function expand(expression: ShorthandExpression, scope: Scope): Expression {
  if (expression.kind !== "and" && expression.kind !== "or") return expandAtom(expression, scope);
  const operands = expression.operands.map((operand) => expand(operand, scope));
  return joined(expression.kind, operands, expression.span);
}

function expandAtom(atom: ShorthandAtom, scope: Scope): Expression {
  const { span } = atom;
  switch (atom.kind) {
    case "call":
      return desugarCall(atom, scope.fresh);
    case "global":
      return expandName(atom.term, scope.declarations.global, undefined, span);
    case "name":
      return expandName(atom.term, scope.names, scope.isGlobal ? undefined : variable("resource", span), span);
    case "on":
      return atom.target.quoted
        ? expandOn(atom, scope)
        : expandName(atom.term, scope.names, variable("resource", span), span);
    default:
      return unreachable(atom);
  }
}

/**
 * The call for the name `"y"` on `object`, or on the whole system. It does not check the type of a relation's actor, as
 * in the documented expansion: a `Bot` that is stored as owner counts, although the block says `owner: User`.
 */
function expandName(term: ShorthandTerm, names: Names, object: Term | undefined, span: Span): Expression {
  const actor = variable("actor", span);
  const predicate = predicateOf(term, names);
  if (!object) return call(predicate, [actor, termOf(term)], span);
  if (predicate === "has_relation") return call(predicate, [object, termOf(term), actor], span);
  return call(predicate, [actor, termOf(term), object], span);
}

function expandOn({ term, target, span }: Extract<ShorthandAtom, { kind: "on" }>, scope: Scope): Expression {
  const type = must(scope.names.get(target.text)?.type).text;
  const related = variable(scope.fresh(nameAfter(target.text)), target.span);
  const names = scope.declarations.types.get(type)?.names ?? new Map();
  const operands: Expression[] = [
    { kind: "matches", variable: related.name, type, exact: false, span: target.span },
    call("has_relation", [variable("resource", target.span), termOf(target), related], target.span),
    expandName(term, names, related, span),
  ];
  return { kind: "and", operands, span };
}

/** The variable is called like the relation, as in written longhand. `_` is no name, and a `?` may only come last. */
function nameAfter(relation: string): string {
  return relation === "_" ? "related" : relation.replace(/\?$/, "");
}

const predicates: Readonly<Record<NameKind, string>> = {
  role: "has_role",
  permission: "has_permission",
  relation: "has_relation",
};

function predicateOf(term: ShorthandTerm, names: Names): string {
  if (!term.quoted) return term.text === "role" ? "has_role" : "has_permission";
  return predicates[must(names.get(term.text), "name that the checks let pass").kind];
}

function termOf(term: ShorthandTerm): Term {
  if (!term.quoted) return variable(term.text, term.span);
  return { kind: "literal", type: "String", id: term.text, span: term.span };
}

function variable(name: string, span: Span) {
  return { kind: "variable", name, span } as const;
}

function call(predicate: string, args: readonly Term[], span: Span): Expression {
  return { kind: "call", predicate, args, span };
}
