/** A policy in longhand, so that expected expansions read as Polar. */
import type { Expression, Literal, Param, Policy, Rule, Term } from "../../src/polar/policy.ts";
import { unreachable } from "../../src/util/assert.ts";

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
  lines.push(...policy.rules.map(printRule));
  for (const { name, facts, assertions } of policy.tests) {
    lines.push(`test ${JSON.stringify(name)}`);
    for (const { predicate, args } of facts) lines.push(`  ${predicate}(${args.map(printTerm).join(", ")});`);
    for (const { expected, predicate, params, iff } of assertions) {
      const head = `  ${expected ? "assert" : "assert_not"} ${predicate}(${params.map(printParam).join(", ")})`;
      lines.push(`${head}${iff ? ` iff ${printExpression(iff)}` : ""};`);
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

function printRule({ predicate, params, body, implicit }: Rule): string {
  const head = `${predicate}(${params.map(printParam).join(", ")})`;
  return `${head}${body ? ` if ${printExpression(body)}` : ""};${implicit ? "  # implicit" : ""}`;
}

function printParam({ term, type }: Param): string {
  return type === undefined ? printTerm(term) : `${printTerm(term)}: ${type}`;
}

function printTerm(term: Term): string {
  if (term.kind === "variable") return term.name;
  return term.kind === "now" ? "@current_unix_time" : printLiteral(term);
}

function printLiteral({ type, id }: Literal): string {
  if (type === "String") return JSON.stringify(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${JSON.stringify(id)}}`;
}

function printExpression(expression: Expression): string {
  switch (expression.kind) {
    case "and":
    case "or":
      return expression.operands.map(printOperand).join(` ${expression.kind} `);
    case "not":
      return `not ${printOperand(expression.operand)}`;
    case "call":
      return `${expression.predicate}(${expression.args.map(printTerm).join(", ")})`;
    case "equal":
      return `${printTerm(expression.left)} = ${printTerm(expression.right)}`;
    case "compare":
      return `${printTerm(expression.left)} ${expression.operator} ${printTerm(expression.right)}`;
    case "in":
      return `${printTerm(expression.term)} in [${expression.values.map(printLiteral).join(", ")}]`;
    case "matches":
      return `${expression.variable} matches${expression.exact ? "!" : ""} ${expression.type}`;
    case "boolean":
      return `${expression.value}`;
    default:
      return unreachable(expression);
  }
}

function printOperand(expression: Expression): string {
  const isGroup = expression.kind === "and" || expression.kind === "or";
  return isGroup ? `(${printExpression(expression)})` : printExpression(expression);
}
