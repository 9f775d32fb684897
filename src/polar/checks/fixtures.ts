/** Fixtures that tests include exist, and their total size is within the limit. */
import { quote } from "../report.ts";
import type { Context } from "./context.ts";

export function checkFixtures({ program, limits, report }: Context): void {
  const sizes = new Map<string, number>();
  for (const statement of program.statements) {
    if (statement.kind === "fixture") sizes.set(statement.name.text, statement.facts.length);
  }
  let included = 0;
  for (const item of program.statements.flatMap((statement) => (statement.kind === "test" ? statement.setup : []))) {
    if (item.kind !== "useFixture") continue;
    const { text, span } = item.name;
    const size = sizes.get(text);
    const before = included;
    included += size ?? 0;
    if (size === undefined && !program.incomplete) {
      report.error("test/unknown-fixture", span, `there is no fixture ${quote(text)}`, {
        hint: report.suggest(text, sizes.keys()) ?? `write it: ${quote(`test fixture ${text} { … }`)}`,
      });
    }
    if (before <= limits.expandedItemsMax && included > limits.expandedItemsMax) {
      report.error(
        "test/too-many-facts",
        span,
        `the fixtures of all tests add up to more than ${limits.expandedItemsMax} facts`,
      );
    }
  }
}
