/** Tests are told apart by their names. */
import { quote } from "../report.ts";
import type { Name } from "../syntax.ts";
import type { Context } from "./context.ts";

export function checkTestNames({ program, report }: Context): void {
  const tests = new Map<string, Name>();
  const fixtures = new Map<string, Name>();
  for (const statement of program.statements) {
    if (statement.kind === "test") check("test", tests, statement.name);
    if (statement.kind === "fixture") check("fixture", fixtures, statement.name);
  }

  function check(kind: "test" | "fixture", seen: Map<string, Name>, name: Name): void {
    const first = seen.get(name.text);
    if (!first) return void seen.set(name.text, name);
    report.error(`test/duplicate-${kind}`, name.span, `there are two ${kind}s called ${quote(name.text)}`, {
      hint: "rename one of the two",
      related: [{ message: "the first one is here", span: first.span }],
    });
  }
}
