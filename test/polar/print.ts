/** Prints a checked policy, for readable expected expansions. */
import type { Policy } from "../../src/polar/policy.ts";
import { printExpression, printParam, printRule, printTerm } from "../../src/polar/print.ts";
import { stringLiteral } from "../../src/polar/string-literal.ts";

export function printPolicy(policy: Policy): string {
  const lines: string[] = [];
  for (const type of policy.types.values()) {
    const supertypes = type.supertypes.length > 0 ? ` extends ${type.supertypes.join(", ")}` : "";
    const relations = [...type.relations].map(([name, target]) => `${name}: ${target}`);
    lines.push(`${type.kind} ${type.name}${supertypes}${names(type.roles, type.permissions, relations)}`);
  }
  const { roles, permissions } = policy.global;
  if (roles.length + permissions.length > 0) lines.push(`global${names(roles, permissions, [])}`);
  for (const { predicate, types } of policy.declarations) lines.push(`declare ${predicate}(${types.join(", ")});`);
  lines.push(...policy.rules.map((rule) => `${printRule(rule)}${rule.implicit ? "  # implicit" : ""}`));
  for (const { name, facts, assertions } of policy.tests) {
    lines.push(`test ${stringLiteral(name)}`);
    for (const { predicate, args } of facts)
      lines.push(`  ${predicate}(${args.map((arg) => printTerm(arg)).join(", ")});`);
    for (const { expected, predicate, params, iff } of assertions) {
      const head = `${predicate}(${params.map((param) => printParam(param)).join(", ")})`;
      lines.push(`  ${expected ? "assert" : "assert_not"} ${head}${iff ? ` iff ${printExpression(iff)}` : ""};`);
    }
  }
  return lines.join("\n");
}

function names(roles: readonly string[], permissions: readonly string[], relations: readonly string[]): string {
  const parts = [
    ["roles", roles],
    ["permissions", permissions],
    ["relations", relations],
  ] as const;
  return parts.map(([label, list]) => (list.length > 0 ? ` ${label}(${list.join(", ")})` : "")).join("");
}
