/** The checks that compare all uses of predicates and names with each other. */
import { checkArgumentOrder } from "./argument-order.ts";
import type { Context } from "./context.ts";
import { Owners } from "./owners.ts";
import { checkGlobalNames, checkPredicateNames } from "./predicate-names.ts";
import { predicateUses } from "./predicate-uses.ts";
import { checkUndeclaredNames } from "./undeclared-names.ts";

export function checkUses(context: Context): void {
  // After a syntax error some uses, and the names that a rule derives, are unknown.
  if (context.report.diagnostics.some(({ code, severity }) => severity === "error" && code.startsWith("syntax/")))
    return;
  const owners = Owners.of(context);
  if (!owners) return;
  checkUndeclaredNames(owners, context);
  const uses = [...predicateUses(context, owners)];
  checkArgumentOrder(uses, owners, context);
  checkPredicateNames(uses, context);
  checkGlobalNames(uses, context);
}
