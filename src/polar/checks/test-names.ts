/** The names of tests, and of fixtures, are unique. */
import { quote } from "../report.ts";
import type { Name } from "../syntax.ts";
import type { Context } from "./context.ts";

export function checkTestNames({ program, report }: Context): void {
  const tests = new Map<string, Name>();
  const fixtures = new Map<string, Name>();
  for (const statement of program.statements) {
    if (statement.kind === "test") check("test/duplicate-test", tests, statement.name);
    if (statement.kind === "fixture") check("test/duplicate-fixture", fixtures, statement.name);
  }

  function check(code: string, seen: Map<string, Name>, name: Name): void {
    const first = seen.get(name.text);
    if (!first) return void seen.set(name.text, name);
    report.error(code, name.span, `the name ${quote(name.text)} is taken`, {
      hint: "rename one of the two",
      related: [{ message: "it is used here first", span: first.span }],
    });
  }
}
