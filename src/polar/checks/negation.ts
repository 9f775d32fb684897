/**
 * `not` works on any condition here. Oso Cloud documents it only for a single fact whose variables also occur
 * elsewhere, and may reject other policies, so these get a warning.
 */
import type { NameKind } from "../declarations.ts";
import { unreachable } from "../../util/assert.ts";
import { quote } from "../report.ts";
import type { Expression } from "../syntax.ts";
import { expressionsOf, termsOf, variableNames, writtenExpressions } from "../walk.ts";
import type { Context } from "./context.ts";

export function checkNegation(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind !== "rule" || !statement.body || statement.flawed) continue;
    const head = statement.head.params.map(({ term }) => term);
    const scope = { given: variableNames(head), loose: none, outer: undefined, variablesOf: variablesOnce() };
    reportLoose(statement.body, scope, context);
  }
  reportWideNegation(context);
}

/** One warning for the policy, at the first such `not`: the others are no other problem. */
function reportWideNegation(context: Context): void {
  const derived = derivedPredicates(context);
  const [first, ...others] = [...writtenExpressions(context.program)].flatMap((written) =>
    [...expressionsOf(written)].flatMap((expression) => {
      const reason = expression.kind === "not" && beyondDocuments(expression.operand, derived);
      return reason ? [{ span: expression.span, reason }] : [];
    }),
  );
  if (!first) return;
  const further =
    others.length === 0 ? "" : `, here and in ${others.length} more ${others.length === 1 ? "place" : "places"}`;
  const message = `\`not\` over ${first.reason} goes beyond what Oso Cloud documents${further}`;
  context.report.warning("rule/wide-negation", first.span, message, {
    hint: "it works here; for portability negate a single fact",
  });
}

/**
 * `role matches String and not has_role(user, role, org)` is nearly always true, as soon as any other string exists:
 * `matches` gives a variable no value. `scope` are the variables known at the expression.
 */
function reportLoose(expression: Expression, scope: Scope, context: Context): void {
  if (expression.kind === "or") {
    for (const operand of expression.operands) reportLoose(operand, scope, context);
  } else if (expression.kind === "and") {
    const inner = { ...scope.variablesOf(expression), outer: scope, variablesOf: scope.variablesOf };
    for (const operand of expression.operands) reportLoose(operand, inner, context);
  } else if (expression.kind === "not") {
    const loose = [...variableNames(termsOf(expression))].find(
      (name) => isKnown(name, "loose", scope) && !isKnown(name, "given", scope),
    );
    if (loose === undefined) return reportLoose(expression.operand, scope, context);
    const message = `nothing but \`matches\` restricts ${quote(loose)}, so nearly any value makes this true`;
    context.report.warning("rule/loose-negation", expression.span, message, {
      hint: `give it a value outside of the \`not\`, or put ${quote(`${loose} matches …`)} inside it`,
    });
  }
}

/** What a condition says about its variables. */
interface Variables {
  /** Variables with a value. */
  readonly given: ReadonlySet<string>;
  /** Variables with a type but no value, in at least one alternative. */
  readonly loose: ReadonlySet<string>;
}

interface Scope extends Variables {
  readonly outer: Scope | undefined;
  readonly variablesOf: (expression: Expression) => Variables;
}

function isKnown(name: string, how: keyof Variables, scope: Scope | undefined): boolean {
  return scope !== undefined && (scope[how].has(name) || isKnown(name, how, scope.outer));
}

const none: ReadonlySet<string> = new Set();

/** Computes the variables of each condition only once, although conditions are nested. */
function variablesOnce(): (expression: Expression) => Variables {
  const known = new Map<Expression, Variables>();
  const find = (expression: Expression): Variables => {
    switch (expression.kind) {
      case "and": {
        const parts = expression.operands.map(variablesOf);
        const given = new Set(parts.flatMap((part) => [...part.given]));
        return { given, loose: new Set(parts.flatMap((part) => [...part.loose])).difference(given) };
      }
      case "or": {
        const parts = expression.operands.map(variablesOf);
        const given = parts.map((part) => part.given).reduce((one, other) => one.intersection(other));
        return { given, loose: new Set(parts.flatMap((part) => [...part.loose])) };
      }
      case "call":
      case "equal":
      case "in":
      case "compare":
        return { given: variableNames(termsOf(expression)), loose: none };
      case "matches":
        return { given: none, loose: new Set([expression.variable.name]) };
      case "not":
      case "boolean":
        return { given: none, loose: none };
      default:
        return unreachable(expression);
    }
  };
  const variablesOf = (expression: Expression): Variables => {
    const found = known.get(expression) ?? find(expression);
    known.set(expression, found);
    return found;
  };
  return variablesOf;
}

function beyondDocuments(operand: Expression, derived: ReadonlySet<string>): string | undefined {
  if (operand.kind !== "call") return "a compound condition";
  const { predicate, args } = operand;
  return derived.has(`${predicate.text}/${args.length}`) ? `${quote(predicate.text)}, which has rules,` : undefined;
}

const predicateOfKind: Readonly<Partial<Record<NameKind, string>>> = { role: "has_role", permission: "has_permission" };

/** Name and arity of each predicate that has a rule with a body. */
function derivedPredicates({ program, declarations }: Context): Set<string> {
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
