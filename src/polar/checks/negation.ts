/**
 * `not` works on any condition here. The official documents promise it for a single fact whose variables occur elsewhere too; a policy
 * that goes further gets a warning, because it may be refused there.
 */
import type { NameKind } from "../declarations.ts";
import { quote } from "../report.ts";
import type { Expression, Program, Term } from "../syntax.ts";
import { expressionsOf, termsOf, writtenExpressions } from "../walk.ts";
import type { Context } from "./context.ts";

export function checkNegation(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind !== "rule" || !statement.body || statement.flawed) continue;
    const head = statement.head.params.map(({ term }) => term);
    reportLoose(statement.body, new Set(namesOf(head)), context);
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
 * variable may be, and gives it no value. `bound` are the names that have a value.
 */
function reportLoose(body: Expression, bound: ReadonlySet<string>, { report }: Context): void {
  const positive = [...outsideNot(body)];
  const given = new Set([
    ...bound,
    ...positive.flatMap((part) => (part.kind === "matches" ? [] : namesOf(termsOf(part)))),
  ]);
  const typed = new Set(positive.flatMap((part) => (part.kind === "matches" ? [part.variable.name] : [])));
  for (const part of expressionsOf(body)) {
    if (part.kind !== "not") continue;
    const loose = namesOf(termsOf(part)).find((name) => typed.has(name) && !given.has(name));
    if (loose === undefined) continue;
    report.warning(
      "rule/loose-negation",
      part.span,
      `nothing but \`matches\` restricts ${quote(loose)}, so nearly any value makes this true`,
      {
        hint: `give it a value outside of the \`not\`, or put ${quote(`${loose} matches …`)} inside it`,
      },
    );
  }
}

/** The conditions that stand under no `not`, without those that only connect others. */
function* outsideNot(expression: Expression): Generator<Expression> {
  if (expression.kind === "not") return;
  if (expression.kind !== "and" && expression.kind !== "or") return yield expression;
  for (const operand of expression.operands) yield* outsideNot(operand);
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
