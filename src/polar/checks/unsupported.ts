/** Statements of the older library that the grammar accepts and that have no meaning in the cloud dialect. */
import type { Context } from "./context.ts";

export function checkUnsupported({ program, report }: Context): void {
  for (const statement of program.statements) {
    if (statement.kind === "ruleType") {
      report.error("rule/unsupported-type", statement.span, "rule types (`type …;`) are not supported", {
        hint: "remove it; to accept a kind of fact that no rule uses, write `declare name(Type, …);`",
      });
    }
    if (statement.kind === "inlineQuery") {
      report.error("rule/unsupported-query", statement.span, "inline queries (`?= …;`) are not supported", {
        hint: 'write a test: `test "name" { assert …; }`',
      });
    }
  }
}
