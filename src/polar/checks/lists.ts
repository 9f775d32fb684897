/**
 * A list after `in` holds values only. The grammar allows variables, but the language does not define their meaning
 * there.
 */
import { expressionsOf, writtenExpressions } from "../walk.ts";
import type { Context } from "./context.ts";

export function checkLists({ program, report }: Context): void {
  for (const written of writtenExpressions(program)) {
    for (const expression of expressionsOf(written)) {
      if (expression.kind !== "in") continue;
      for (const item of expression.list.items) {
        if (item.kind !== "variable" && item.kind !== "now") continue;
        report.error("rule/list-element", item.span, "a list holds values only", {
          hint: "compare with `=`, joined by `or`",
        });
      }
    }
  }
}
