/**
 * `not` works on any condition here. The official documents promise it for a single fact whose variables occur elsewhere too; a policy
 * that goes further gets a warning, because it may be refused there.
 */
import type { NameKind } from "../declarations.ts";
import { quote } from "../report.ts";
import type { Expression, Program } from "../syntax.ts";
import { expressionsOf, writtenExpressions } from "../walk.ts";
import type { Context } from "./context.ts";

export function checkNegation(context: Context): void {
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
