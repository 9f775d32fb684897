/**
 * Roles, permissions and relations that longhand rules name and no block declares: a slip in a name that `not` turns into an `allow`. A warning, since
 * Oso Cloud takes such policies. A type that declares no names of a kind says nothing about them.
 */
import type { DeclaredName, NameKind } from "../declarations.ts";
import { quote } from "../report.ts";
import type { Call, Expression, Name, Param, RuleStatement, Term } from "../syntax.ts";
import { expressionsOf } from "../walk.ts";
import { type Context, abstractTypes } from "./context.ts";

const kindOf: ReadonlyMap<string, NameKind> = new Map([
  ["has_role", "role"],
  ["has_permission", "permission"],
  ["has_relation", "relation"],
]);

export function checkUndeclaredNames(context: Context): void {
  if (context.program.incomplete || context.declarations.tooMany) return;
  for (const statement of context.program.statements) {
    if (statement.kind !== "rule" || statement.flawed) continue;
    const types = typesIn(statement);
    const { predicate, params } = statement.head;
    check({ predicate, args: params.map(({ term }) => term), place: "head" }, types, context);
    for (const call of callsIn(statement.body, false)) check(call, types, context);
  }
}

interface NamedCall {
  readonly predicate: Name;
  readonly args: readonly Term[];
  readonly place: "head" | "body" | "not";
}

function* callsIn(expression: Expression | undefined, isNegated: boolean): Generator<NamedCall> {
  if (expression === undefined) return;
  if (expression.kind === "call") yield placed(expression, isNegated);
  if (expression.kind === "not") yield* callsIn(expression.operand, !isNegated);
  if (expression.kind !== "and" && expression.kind !== "or") return;
  for (const operand of expression.operands) yield* callsIn(operand, isNegated);
}

function placed({ predicate, args }: Call, isNegated: boolean): NamedCall {
  return { predicate, args, place: isNegated ? "not" : "body" };
}

/** The one type that a rule says of a variable. */
function typesIn({ head, body }: RuleStatement): ReadonlyMap<string, string | undefined> {
  const said = [
    ...head.params.flatMap(({ term, type }: Param) =>
      term.kind === "variable" && type ? [[term.name, type.text]] : [],
    ),
    ...(body === undefined ? [] : [...expressionsOf(body)]).flatMap((part) =>
      part.kind === "matches" ? [[part.variable.name, part.type.text]] : [],
    ),
  ] as [string, string][];
  const byName = Map.groupBy(said, ([name]) => name);
  return new Map([...byName].map(([name, types]) => [name, types.length === 1 ? types[0]?.[1] : undefined]));
}

function check(
  { predicate, args, place }: NamedCall,
  types: ReadonlyMap<string, string | undefined>,
  context: Context,
): void {
  const kind = kindOf.get(predicate.text);
  // `has_relation` begins with what has it, the others end with what they are for.
  const [first, name, last] = args;
  if (kind === undefined || name?.kind !== "string") return;
  const owner = kind === "relation" ? first : last;
  const type = owner === undefined ? "global" : typeOf(owner, types);
  if (type === undefined || (kind === "relation" && args.length !== 3)) return;
  const declared = declaredFor(type, context);
  const names = declared?.filter((one) => one.kind === kind).map((one) => one.name) ?? [];
  if (names.length === 0 || names.includes(name.text)) return;
  const where = type === "global" ? "the `global` block" : quote(type);
  const message = `${where} declares no ${kind} ${quote(name.text)}, ${consequences[place]}`;
  context.report.warning("rule/undeclared-name", name.span, message, {
    hint: context.report.suggest(name.text, names) ?? `declare it, or write a ${kind} that is declared`,
  });
}

const consequences: Readonly<Record<NamedCall["place"], string>> = {
  head: "so only a question or a rule with this very name finds what this rule gives",
  body: "so this condition holds only where a fact says just that",
  not: "so this `not` lets everybody pass, unless a fact says just that",
};

function typeOf(term: Term, types: ReadonlyMap<string, string | undefined>): string | undefined {
  if (term.kind === "typed") return term.type.text;
  return term.kind === "variable" ? types.get(term.name) : undefined;
}

/** What a value of the type may have declared: by its own block, by those above, or by those below. Undefined where that is not known. */
function declaredFor(type: string, { declarations }: Context): readonly DeclaredName[] | undefined {
  if (type === "global") return declarations.globalIncomplete ? undefined : [...declarations.global.values()];
  const below = [...declarations.types.values()].filter(
    ({ name }) => name === type || abstractTypes.has(type) || isBelow(name, type, declarations.types, new Set()),
  );
  if (below.length === 0 || below.some(({ incomplete }) => incomplete)) return undefined;
  return below.flatMap(({ names }) => [...names.values()]);
}

function isBelow(name: string, type: string, types: Context["declarations"]["types"], seen: Set<string>): boolean {
  if (seen.has(name)) return false;
  seen.add(name);
  return (types.get(name)?.supertypes ?? []).some(({ text }) => text === type || isBelow(text, type, types, seen));
}
