/**
 * `iff` says which values a variable of the assertion takes. Only `variable in [...]` is known to be used; another
 * condition would leave open what the full set of answers is, so it is refused rather than guessed at. And nothing can
 * be asserted of the clock itself.
 */
import { quote } from "../report.ts";
import type { Context } from "./context.ts";

export function checkAssertions({ program, report }: Context): void {
  for (const { head, iff } of program.statements.flatMap((statement) =>
    statement.kind === "test" ? statement.assertions : [],
  )) {
    for (const { term } of head.params) {
      if (term.kind !== "now") continue;
      report.error("test/clock-in-assertion", term.span, "an assertion cannot use the clock: it differs in each run", {
        hint: "write a time in seconds, such as `1700000000`",
      });
    }
    if (!iff) continue;
    const { span } = iff;
    if (iff.kind !== "in" || iff.term.kind !== "variable") {
      report.error("test/unsupported-iff", span, "`iff` takes `variable in [...]` only", {
        hint: 'write, for example, `assert allow(User{"ann"}, action: String, Doc{"d"}) iff action in ["read"];`',
      });
      continue;
    }
    const { name, span: variableSpan } = iff.term;
    const params = head.params.map(({ term }) => (term.kind === "variable" ? term.name : undefined));
    if (name !== "_" && params.includes(name)) continue;
    report.error("test/unknown-iff-variable", variableSpan, `${quote(name)} does not occur in the assertion`, {
      hint: `use a variable for an argument: ${quote(`${name === "_" ? "action" : name}: String`)}`,
    });
  }
}
