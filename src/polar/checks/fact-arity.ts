/** Facts have one to five arguments. Rules may have any number. */
import { factArgumentsMax } from "../policy.ts";
import { quote } from "../report.ts";
import type { Name } from "../syntax.ts";
import type { Span } from "../span.ts";
import type { Context } from "./context.ts";

export function checkFactArity({ program, report }: Context): void {
  for (const statement of program.statements) {
    if (statement.kind === "declare") check("rule", statement.predicate, statement.types.length, statement.span);
    const facts = statement.kind === "fixture" ? statement.facts : statement.kind === "test" ? statement.setup : [];
    for (const fact of facts) if (fact.kind === "call") check("test", fact.predicate, fact.args.length, fact.span);
  }

  function check(stage: "rule" | "test", predicate: Name, count: number, span: Span): void {
    if (count >= 1 && count <= factArgumentsMax) return;
    report.error(
      `${stage}/fact-arity`,
      span,
      `${quote(predicate.text)} has ${count} arguments: a fact has 1 to ${factArgumentsMax}`,
    );
  }
}
