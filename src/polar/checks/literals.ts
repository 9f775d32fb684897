/** Values that no fact can hold: the id `*`, an empty id, a value of `Actor`, a malformed `Integer`. */
import { quote } from "../report.ts";
import type { Program, Term } from "../syntax.ts";
import { callsOf, termsOf, writtenExpressions } from "../walk.ts";
import { type Context, abstractTypes } from "./context.ts";

export function checkLiterals({ program, report }: Context): void {
  for (const { stage, term } of literals(program)) {
    const text = term.kind === "typed" ? term.value.text : term.kind === "string" ? term.text : "";
    if (text === "*") {
      report.error(`${stage}/wildcard-id`, term.span, "`*` is not an id: in answers it means every value", {
        hint: "to match every value of a type, use a variable such as `_: User` in a rule",
      });
    }
    if (term.kind !== "typed") {
      // A rule may compare with the empty string; only a fact cannot hold it.
      if (stage === "test" && term.kind === "string" && text === "")
        report.error("test/empty-id", term.span, "a fact cannot hold the empty string");
      continue;
    }
    const { type, value } = term;
    if (abstractTypes.has(type.text)) {
      report.error(`${stage}/abstract-literal`, term.span, `${quote(type.text)} has no values of its own`, {
        hint: "name the type of the value, such as `User`",
      });
    }
    const wanted = primitiveOf.get(type.text);
    if (text === "") report.error(`${stage}/empty-id`, term.span, `a value of ${quote(type.text)} needs an id`);
    else if (wanted && wanted !== value.kind) {
      report.error(`${stage}/literal-type`, value.span, `this is not a value of ${quote(type.text)}`, {
        hint: examples[wanted],
      });
    }
  }
}

const primitiveOf: ReadonlyMap<string, "string" | "integer" | "boolean"> = new Map([
  ["String", "string"],
  ["Integer", "integer"],
  ["Boolean", "boolean"],
]);

const examples = {
  string: 'write `String{"text"}`, or the text alone',
  integer: "write `Integer{42}`, or the number alone",
  boolean: "write `Boolean{true}`, or `true` alone",
} as const;

interface Found {
  readonly stage: "block" | "rule" | "test";
  readonly term: Term;
}

function* literals(program: Program): Generator<Found> {
  for (const statement of program.statements) {
    if (statement.kind === "block") {
      for (const call of statement.rules.flatMap((rule) => callsOf(rule.body))) yield* inStage("block", call.args);
    } else if (statement.kind === "rule") {
      yield* inStage(
        "rule",
        statement.head.params.map((param) => param.term),
      );
    } else if (statement.kind === "fixture") {
      for (const fact of statement.facts) yield* inStage("test", fact.args);
    } else if (statement.kind === "test") {
      for (const item of statement.setup) if (item.kind === "call") yield* inStage("test", item.args);
      for (const { head } of statement.assertions)
        yield* inStage(
          "test",
          head.params.map((param) => param.term),
        );
    }
  }
  for (const expression of writtenExpressions(program)) yield* inStage("rule", termsOf(expression));
}

function* inStage(stage: Found["stage"], terms: Iterable<Term>): Generator<Found> {
  for (const term of terms) yield { stage, term };
}
