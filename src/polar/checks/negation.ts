/**
 * `not` works on any condition here. The official documents promise it for a single fact whose variables occur elsewhere too; a policy
 * that goes further gets a warning, because it may be refused there.
 */
import type { NameKind } from "../declarations.ts";
import { unreachable } from "../../util/assert.ts";
import { quote } from "../report.ts";
import type { Expression, Program, Term } from "../syntax.ts";
import { expressionsOf, termsOf, writtenExpressions } from "../walk.ts";
import type { Context } from "./context.ts";

export function checkNegation(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind !== "rule" || !statement.body || statement.flawed) continue;
    const head = statement.head.params.map(({ term }) => term);
    const scope = { given: new Set(namesOf(head)), typed: new Set<string>(), outer: undefined, values: valuesOnce() };
    reportLoose(statement.body, scope, context);
  }
  const derived = derivedPredicates(context);
  for (const written of writtenExpressions(context.program)) {
    for (const expression of expressionsOf(written)) {
      if (expression.kind !== "not") continue;
      const reason = beyondDocuments(expression.operand, derived);
      if (!reason) continue;
      context.report.warning(
        "rule/wide-negation",
        expression.span,
        `\`not\` over ${reason} goes beyond what Oso Cloud documents`,
        {
          hint: "it works here; for portability negate a single fact",
        },
      );
    }
  }
}

/**
 * `role matches String and not has_role(user, role, org)` holds as soon as there is any other string, so nearly always: `matches` says what a
 * variable may be, and gives it no value. `scope` is what is known where the expression stands.
 */
function reportLoose(expression: Expression, scope: Scope, context: Context): void {
  if (expression.kind === "or") {
    for (const operand of expression.operands) reportLoose(operand, scope, context);
  } else if (expression.kind === "and") {
    const typed = expression.operands.flatMap((part) => (part.kind === "matches" ? [part.variable.name] : []));
    const inner = { given: scope.values(expression), typed: new Set(typed), outer: scope, values: scope.values };
    for (const operand of expression.operands) reportLoose(operand, inner, context);
  } else if (expression.kind === "not") {
    const loose = namesOf(termsOf(expression)).find(
      (name) => isKnown(name, "typed", scope) && !isKnown(name, "given", scope),
    );
    if (loose === undefined) return reportLoose(expression.operand, scope, context);
    context.report.warning(
      "rule/loose-negation",
      expression.span,
      `nothing but \`matches\` restricts ${quote(loose)}, so nearly any value makes this true`,
      {
        hint: `give it a value outside of the \`not\`, or put ${quote(`${loose} matches …`)} inside it`,
      },
    );
  }
}

interface Scope {
  /** Names that have a value. */
  readonly given: ReadonlySet<string>;
  /** Names that a `matches` mentions. */
  readonly typed: ReadonlySet<string>;
  readonly outer: Scope | undefined;
  readonly values: (expression: Expression) => ReadonlySet<string>;
}

function isKnown(name: string, how: "given" | "typed", scope: Scope | undefined): boolean {
  return scope !== undefined && (scope[how].has(name) || isKnown(name, how, scope.outer));
}

/** Tells the names that have a value where a condition holds. One of several alternatives gives none for sure. Each condition is looked at once. */
function valuesOnce(): (expression: Expression) => ReadonlySet<string> {
  const known = new Map<Expression, ReadonlySet<string>>();
  const find = (expression: Expression): ReadonlySet<string> => {
    switch (expression.kind) {
      case "and":
        return new Set(expression.operands.flatMap((operand) => [...values(operand)]));
      case "or": {
        const [first = new Set<string>(), ...others] = expression.operands.map(values);
        return new Set([...first].filter((name) => others.every((other) => other.has(name))));
      }
      case "call":
      case "equal":
      case "in":
      case "compare":
        return new Set(namesOf(termsOf(expression)));
      case "not":
      case "matches":
      case "boolean":
        return new Set();
      default:
        return unreachable(expression);
    }
  };
  const values = (expression: Expression): ReadonlySet<string> => {
    const found = known.get(expression) ?? find(expression);
    known.set(expression, found);
    return found;
  };
  return values;
}

function namesOf(terms: Iterable<Term>): string[] {
  return [...terms].flatMap((term) => (term.kind === "variable" ? [term.name] : []));
}

function beyondDocuments(operand: Expression, derived: ReadonlySet<string>): string | undefined {
  if (operand.kind !== "call") return "a compound condition";
  const { predicate, args } = operand;
  return derived.has(`${predicate.text}/${args.length}`) ? `${quote(predicate.text)}, which has rules,` : undefined;
}

const predicateOfKind: Readonly<Partial<Record<NameKind, string>>> = { role: "has_role", permission: "has_permission" };

/** Name and arity of all that has rules with a body. */
function derivedPredicates({
  program,
  declarations,
}: {
  program: Program;
  declarations: Context["declarations"];
}): Set<string> {
  const derived = new Set<string>();
  for (const statement of program.statements) {
    if (statement.kind === "rule" && statement.body) {
      derived.add(`${statement.head.predicate.text}/${statement.head.params.length}`);
    }
    if (statement.kind !== "block") continue;
    const isGlobal = statement.blockKind === "global";
    const names = isGlobal ? declarations.global : declarations.types.get(statement.name.text)?.names;
    for (const { head } of statement.rules) {
      const kind = head.quoted ? names?.get(head.text)?.kind : head.text === "role" ? "role" : "permission";
      const predicate = kind && predicateOfKind[kind];
      if (predicate) derived.add(`${predicate}/${isGlobal ? 2 : 3}`);
    }
  }
  return derived;
}
