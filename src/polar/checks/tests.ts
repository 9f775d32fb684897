/** Checks of tests, fixtures and declared facts. */
import { factArgumentsMax } from "../policy.ts";
import { quote } from "../report.ts";
import type { Span } from "../span.ts";
import type { Name } from "../syntax.ts";
import type { Context } from "./context.ts";

/** The names of tests, and of fixtures, are unique. */
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

/** Fixtures that tests include exist, and their total size is within the limit. */
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
        hint: `write it: ${quote(`test fixture ${text} { … }`)}`,
        ...report.suggest(item.name, sizes.keys()),
      });
    }
    if (before <= limits.expandedItemsMax && included > limits.expandedItemsMax) {
      const message = `the fixtures of all tests add up to more than ${limits.expandedItemsMax} facts`;
      report.error("test/too-many-facts", span, message);
    }
  }
}

/**
 * `iff` lists the values of a variable with `variable in [...]`; other conditions would not give all answers. An
 * assertion can't use the clock.
 */
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

/** Facts have one to five arguments. Rules may have any number. */
export function checkFactArity({ program, report }: Context): void {
  for (const statement of program.statements) {
    if (statement.kind === "declare") check("rule", statement.predicate, statement.types.length, statement.span);
    const facts = statement.kind === "fixture" ? statement.facts : statement.kind === "test" ? statement.setup : [];
    for (const fact of facts) if (fact.kind === "call") check("test", fact.predicate, fact.args.length, fact.span);
  }

  function check(stage: "rule" | "test", predicate: Name, count: number, span: Span): void {
    if (count >= 1 && count <= factArgumentsMax) return;
    const message = `${quote(predicate.text)} has ${count} arguments: a fact has 1 to ${factArgumentsMax}`;
    report.error(`${stage}/fact-arity`, span, message);
  }
}
