/**
 * Types without a block: one warning each. Oso Cloud's documentation requires a block, but its own example policies
 * omit some, so it is not an error.
 */
import { quote } from "../report.ts";
import type { Name, Program, Term } from "../syntax.ts";
import { callsOf, expressionsOf, ownTerms, writtenExpressions } from "../walk.ts";
import { actorTypes } from "./actor-types.ts";
import { type Context, abstractTypes, primitiveTypes } from "./context.ts";

export function checkUndeclaredTypes({ program, declarations, report }: Context): void {
  if (program.incomplete) return;
  const known = [...declarations.types.keys(), ...primitiveTypes];
  let actors: ReadonlySet<string> | undefined;
  const isActor = (type: string): boolean => (actors ??= actorTypes(program, declarations)).has(type);
  const seen = new Set<string>();
  for (const { stage, type } of mentionedTypes(program)) {
    const { text, span } = type;
    if (declarations.types.has(text) || primitiveTypes.has(text) || abstractTypes.has(text) || seen.has(text)) continue;
    seen.add(text);
    report.warning(`${stage}/undeclared-type`, span, `type ${quote(text)} is not declared`, {
      hint: report.suggest(text, known) ?? `declare it: ${quote(`${isActor(text) ? "actor" : "resource"} ${text} {}`)}`,
    });
  }
}

interface Mention {
  readonly stage: "block" | "rule" | "test";
  readonly type: Name;
}

function* mentionedTypes(program: Program): Generator<Mention> {
  for (const statement of program.statements) {
    if (statement.kind === "block") {
      for (const { value } of statement.sections) {
        if (value.kind !== "dictionary") continue;
        for (const { type } of value.entries) if (type) yield { stage: "block", type };
      }
      for (const call of statement.rules.flatMap((rule) => callsOf(rule.body))) yield* typesOf("block", call.args);
    } else if (statement.kind === "declare") {
      for (const type of statement.types) yield { stage: "rule", type };
    } else if (statement.kind === "rule") {
      for (const { term, type } of statement.head.params) {
        if (type) yield { stage: "rule", type };
        yield* typesOf("rule", [term]);
      }
    } else if (statement.kind === "fixture") {
      for (const fact of statement.facts) yield* typesOf("test", fact.args);
    } else if (statement.kind === "test") {
      for (const item of statement.setup) if (item.kind === "call") yield* typesOf("test", item.args);
      for (const { term, type } of statement.assertions.flatMap(({ head }) => head.params)) {
        if (type) yield { stage: "test", type };
        yield* typesOf("test", [term]);
      }
    }
  }
  for (const written of writtenExpressions(program)) {
    for (const expression of expressionsOf(written)) {
      if (expression.kind === "matches") yield { stage: "rule", type: expression.type };
      yield* typesOf("rule", ownTerms(expression));
    }
  }
}

function* typesOf(stage: Mention["stage"], terms: readonly Term[]): Generator<Mention> {
  for (const term of terms) if (term.kind === "typed") yield { stage, type: term.type };
}
