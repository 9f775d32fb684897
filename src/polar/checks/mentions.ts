/**
 * The values and types that a policy mentions. Errors for values that no fact can hold: the id `*`, an empty id, a
 * value of `Actor`, a malformed `Integer`. A warning for each type without a block: Oso Cloud's documentation requires
 * one, but its own example policies omit some.
 */
import { type Declarations, referredName } from "../declarations.ts";
import { typeDeclaration } from "../fixes.ts";
import { quote } from "../report.ts";
import type { Head, Name, Param, Program, Term } from "../syntax.ts";
import { atomsOf, callsOf, expressionsOf, ownTerms, writtenExpressions } from "../walk.ts";
import { type Context, abstractTypes, primitiveTypes } from "./context.ts";
import { scopedCalls, scopeOfHead, type Scope, typesSaidOf } from "./scoped-calls.ts";

export function checkLiterals({ program, report }: Context): void {
  for (const { stage, term } of mentions(program)) {
    if (term === undefined) continue;
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

export function checkUndeclaredTypes({ program, declarations, report }: Context): void {
  if (program.incomplete) return;
  const known = [...declarations.types.keys(), ...primitiveTypes];
  let actors: ReadonlySet<string> | undefined;
  const isActor = (type: string): boolean => (actors ??= actorTypes(program, declarations)).has(type);
  const seen = new Set<string>();
  for (const { stage, term, type = term?.kind === "typed" ? term.type : undefined } of mentions(program)) {
    if (type === undefined) continue;
    const { text, span } = type;
    if (declarations.types.has(text) || primitiveTypes.has(text) || abstractTypes.has(text) || seen.has(text)) continue;
    seen.add(text);
    const declaration = `${isActor(text) ? "actor" : "resource"} ${text} {}`;
    report.warning(`${stage}/undeclared-type`, span, `type ${quote(text)} is not declared`, {
      hint: `declare it: ${quote(declaration)}`,
      fixes: typeDeclaration(declaration, span, program),
      ...report.suggest(type, known),
    });
  }
}

/** A term, or the name of a type that is not part of a term. */
interface Mention {
  readonly stage: "block" | "rule" | "test";
  readonly term?: Term;
  readonly type?: Name | undefined;
}

function* mentions(program: Program): Generator<Mention> {
  for (const statement of program.statements) {
    if (statement.kind === "block") {
      for (const { value } of statement.sections)
        if (value.kind === "dictionary") for (const { type } of value.entries) yield { stage: "block", type };
      for (const { args } of statement.rules.flatMap((rule) => callsOf(rule.body))) yield* inStage("block", args);
    } else if (statement.kind === "declare") {
      for (const type of statement.types) yield { stage: "rule", type };
    } else if (statement.kind === "rule") {
      yield* ofParams("rule", statement.head.params);
    } else if (statement.kind === "fixture") {
      for (const fact of statement.facts) yield* inStage("test", fact.args);
    } else if (statement.kind === "test") {
      for (const item of statement.setup) if (item.kind === "call") yield* inStage("test", item.args);
      for (const { head } of statement.assertions) yield* ofParams("test", head.params);
    }
  }
  for (const written of writtenExpressions(program)) {
    for (const expression of expressionsOf(written)) {
      if (expression.kind === "matches") yield { stage: "rule", type: expression.type };
      yield* inStage("rule", ownTerms(expression));
    }
  }
}

function* ofParams(stage: Mention["stage"], params: readonly Param[]): Generator<Mention> {
  for (const { term, type } of params)
    yield* [
      { stage, type },
      { stage, term },
    ];
}

function* inStage(stage: Mention["stage"], terms: readonly Term[]): Generator<Mention> {
  for (const term of terms) yield { stage, term };
}

const takesActor: ReadonlySet<string> = new Set(["allow", "has_role", "has_permission"]);

/**
 * The types that act as actors: the policy allows one of their values something, gives it a role or permission, or
 * makes it the actor of a relation. The hint for an undeclared type depends on this.
 */
function actorTypes(program: Program, declarations: Declarations): ReadonlySet<string> {
  const found = new Set<string>();
  const add = (predicate: Name, term: Term | undefined, types: Iterable<string> = []): void => {
    if (!takesActor.has(predicate.text) || term === undefined) return;
    if (term.kind === "typed") found.add(term.type.text);
    else for (const type of types) found.add(type);
  };
  const addHead = ({ predicate, params: [first] }: Head): void =>
    add(predicate, first?.term, first?.type ? [first.type.text] : []);
  for (const statement of program.statements) {
    if (statement.kind === "rule") {
      addHead(statement.head);
      const calls = statement.body ? scopedCalls(statement.body, scopeOfHead(statement.head)) : [];
      for (const { call, scope } of calls) add(call.predicate, call.args[0], typesSaid(call.args[0], scope));
    } else if (statement.kind === "fixture") {
      for (const { predicate, args } of statement.facts) add(predicate, args[0]);
    } else if (statement.kind === "test") {
      for (const item of statement.setup) if (item.kind === "call") add(item.predicate, item.args[0]);
      for (const { head } of statement.assertions) addHead(head);
    } else if (statement.kind === "block") {
      for (const { predicate, args } of statement.rules.flatMap(({ body }) => callsOf(body))) add(predicate, args[0]);
      // `"read" if "owner"` says that the actor is the owner.
      for (const atom of statement.rules.flatMap(({ body }) => [...atomsOf(body)])) {
        const related = referredName(atom, statement, declarations)?.type;
        if (related) found.add(related.text);
      }
    }
  }
  // A policy without any actor still needs one to be useful.
  if (found.size === 0 && declarations.types.values().every(({ kind }) => kind !== "actor")) found.add("User");
  return found;
}

function typesSaid(term: Term | undefined, scope: Scope): string[] {
  return term?.kind === "variable" ? typesSaidOf(term.name, scope).map(({ type }) => type) : [];
}
