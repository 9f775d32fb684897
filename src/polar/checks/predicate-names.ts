/**
 * Warnings about predicates that only calls have, no rule, no `declare` and no fact of a test, and that look like another
 * predicate: its name but for a letter, or its name with another number of arguments. Of two that only calls have, the
 * one with more calls, or else the first, is right.
 */
import { quote } from "../report.ts";
import type { Context } from "./context.ts";
import { mayAgree, type PredicateUse } from "./predicate-uses.ts";

/** The numbers of arguments of the predicates that shorthand and questions use. */
const builtIn: ReadonlyMap<string, readonly number[]> = new Map([
  ["allow", [2, 3]],
  ["has_role", [2, 3]],
  ["has_permission", [2, 3]],
  ["has_relation", [3]],
]);

/** The comparison of all names with each other takes too long in policies that people do not write. */
const predicatesMax = 1000;

export function checkPredicateNames(uses: readonly PredicateUse[], context: Context): void {
  const inRules = uses.filter(({ position }) => position !== "assertion");
  const predicates = [
    ...Map.groupBy(inRules, ({ predicate, args }) => `${predicate.text}/${args.length}`).values(),
  ].flatMap(newPredicate);
  if (predicates.length > predicatesMax) return;
  const byName = Map.groupBy(predicates, ({ name }) => name);
  for (const predicate of predicates) {
    if (!predicate.isOnlyCalled) continue;
    const sameName = byName.get(predicate.name) ?? [];
    if (!reportArity(predicate, sameName, context)) reportSpelling(predicate, predicates, context);
  }
}

interface Predicate {
  readonly name: string;
  readonly words: readonly string[];
  readonly arity: number;
  readonly uses: readonly PredicateUse[];
  /** Its position among all. */
  readonly rank: number;
  readonly isOnlyCalled: boolean;
}

function newPredicate(uses: readonly PredicateUse[], rank: number): Predicate[] {
  const [first] = uses;
  if (!first) return [];
  const [name, arity] = [first.predicate.text, first.args.length];
  const isBuiltIn = builtIn.get(name)?.includes(arity) === true;
  const isOnlyCalled = !isBuiltIn && uses.every(({ position }) => position === "call");
  return [{ name, words: wordsOf(name), arity, uses, rank, isOnlyCalled }];
}

/** Whether `other` is more probably right. */
function isBetter(other: Predicate, than: Predicate): boolean {
  if (!other.isOnlyCalled) return true;
  return other.uses.length === than.uses.length ? other.rank < than.rank : other.uses.length > than.uses.length;
}

/** Reports a predicate with another number of arguments than a better one. Returns whether its name is that of others. */
function reportArity(predicate: Predicate, sameName: readonly Predicate[], context: Context): boolean {
  const { name, arity } = predicate;
  // `tag(user, name) if tag(user, name, 1)` has both on purpose.
  const heads = new Set(
    sameName
      .flatMap(({ uses }) => uses)
      .filter(isHead)
      .map(({ statement }) => statement),
  );
  if (predicate.uses.every(({ statement }) => heads.has(statement))) return true;
  const other = sameName.find((one) => one !== predicate && isBetter(one, predicate));
  const arities = other ? [other.arity] : builtIn.get(name);
  if (!arities) return false;
  const message = `${quote(name)} has ${count(arity)} here and ${arities.join(" or ")} elsewhere: these are two predicates`;
  reportAt(predicate, "rule/other-arity", message, `give it ${arities.map(count).join(" or ")}`, other, context);
  return true;
}

function isHead({ position }: PredicateUse): boolean {
  return position === "head";
}

function count(arity: number): string {
  return arity === 1 ? "one argument" : `${arity} arguments`;
}

function reportSpelling(predicate: Predicate, all: readonly Predicate[], context: Context): void {
  const known = all.find(
    (one) =>
      isMisspelling(predicate.words, one.words) &&
      one !== predicate &&
      isBetter(one, predicate) &&
      one.uses.some((use) => mayAgree(use.args, predicate.uses[0]?.args ?? [])),
  );
  const isMeant = ([name, arities]: readonly [string, readonly number[]]): boolean =>
    arities.includes(predicate.arity) && isMisspelling(predicate.words, wordsOf(name));
  const name = known?.name ?? [...builtIn].find(isMeant)?.[0];
  if (name === undefined) return;
  const message = `only calls have ${quote(predicate.name)}, and its name is almost that of ${quote(name)}`;
  const isEither = known?.isOnlyCalled === true && known.uses.length === predicate.uses.length;
  const hint = isEither ? "write the same name in both places" : `write ${quote(name)}`;
  reportAt(predicate, "rule/similar-name", message, hint, known, context);
}

function reportAt(
  { uses: [first] }: Predicate,
  code: string,
  message: string,
  hint: string,
  other: Predicate | undefined,
  { report }: Context,
): void {
  if (!first) return;
  report.warning(code, first.predicate.span, message, {
    hint: `${hint}, or, if both are meant, end the line with ${quote(`# ignore ${code}`)}`,
    ...(other?.uses[0] && { related: [{ message: "the other one", span: other.uses[0].predicate.span }] }),
  });
}

const shortestWord = 4;

/** Whether a typing error could turn one name into the other, and no ordinary change of a word, as in `owner`, `owned`. */
function isMisspelling(words: readonly string[], others: readonly string[]): boolean {
  if (words.length !== others.length) return words.join("") === others.join("");
  const index = words.findIndex((word, at) => word !== others[at]);
  // The names of `snake_case` and `camelCase` may have the same words.
  if (index < 0) return true;
  if (words.some((word, at) => at > index && word !== others[at])) return false;
  const pair = [words[index] ?? "", others[index] ?? ""];
  const [short = "", long = ""] = pair.toSorted((one, two) => one.length - two.length);
  if (long.length - short.length > 1 || long.length < shortestWord || /\d/.test(short + long)) return false;
  let start = 0;
  while (start < short.length && short[start] === long[start]) start += 1;
  const [rest, otherRest] = [short.slice(start), long.slice(start)];
  if (short.length === long.length) {
    const isSwap = rest[0] === otherRest[1] && rest[1] === otherRest[0] && rest.slice(2) === otherRest.slice(2);
    if (isSwap) return true;
    const isEnding = rest.length === 1 && /^[dernsty]{2}$/.test(rest + otherRest);
    return start > 0 && rest.slice(1) === otherRest.slice(1) && long.length > shortestWord && !isEnding;
  }
  // A letter more: not at the beginning (`blocked`), nor an ending (`writer`, `given`, `ready`) except the plural.
  return start > 0 && rest === otherRest.slice(1) && !(rest === "" && /(?:e[dr]|[^n]n|[^y]y)$/.test(long));
}

/** The words of `snake_case` or `camelCase`, in lower case. */
function wordsOf(name: string): string[] {
  return name
    .replaceAll(/(\p{Ll}|\d)(?=\p{Lu})/gu, "$1_")
    .toLowerCase()
    .split("_")
    .filter((word) => word !== "");
}

/** A role or permission in the whole system belongs into the `global` block. */
export function checkGlobalNames(uses: readonly PredicateUse[], context: Context): void {
  const hasGlobal = context.program.statements.some((one) => one.kind === "block" && one.blockKind === "global");
  if (hasGlobal || context.declarations.globalIncomplete) return;
  const seen = new Set<string>();
  for (const { position, predicate, args } of uses) {
    const kind = globalKind.get(predicate.text);
    const [actor, named] = args;
    const name = named?.names?.[0];
    if (!kind || !actor || args.length !== 2 || name === undefined || (position !== "head" && position !== "call"))
      continue;
    if (seen.has(`${kind} ${name}`)) continue;
    seen.add(`${kind} ${name}`);
    const message = `${quote(predicate.text)} with two arguments is a ${kind} in the whole system, and no \`global\` block declares ${quote(name)}`;
    context.report.warning("rule/no-global", predicate.span, message, {
      hint: `add ${quote(`global { ${kind}s = ["${name}"]; }`)}, or name the resource: ${quote(`${predicate.text}(${actor.text}, "${name}", …)`)}`,
    });
  }
}

const globalKind: ReadonlyMap<string, "role" | "permission"> = new Map([
  ["has_role", "role"],
  ["has_permission", "permission"],
]);
