/** What can be written at a position of a policy: types, roles, permissions, relations, predicates, keywords. Pure. */
import { keywords } from "./language.ts";
import type { BlockNames, PolicyNames } from "./names.ts";

export type SuggestionKind = "type" | "role" | "permission" | "relation" | "predicate" | "keyword";

export interface Suggestion {
  readonly label: string;
  readonly kind: SuggestionKind;
  /** The type that has the name, or to which the relation leads. */
  readonly of?: string;
}

export interface Suggestions {
  /** Where the text that the suggestion replaces begins. */
  readonly from: number;
  readonly options: readonly Suggestion[];
}

/** One token; a string may be unfinished. */
const token = /#[^\n]*|"(?:[^"\\\n]|\\.)*"?|@?[_\p{L}][\p{L}\p{N}_]*(?:::[_\p{L}][\p{L}\p{N}_]*)*|[^\s]/gu;

interface Context {
  /** The text of the token at the position, up to it; empty between tokens. */
  readonly current: string;
  readonly before: string | undefined;
  readonly beforeThat: string | undefined;
  /** The type of the block at the position. */
  readonly block: string | undefined;
}

/** Undefined if nothing can be suggested there, as in a comment. */
export function suggestionsAt(text: string, position: number, names: PolicyNames): Suggestions | undefined {
  const context = contextAt(text.slice(0, position));
  const { current, before } = context;
  if (current.startsWith("#") || current.startsWith("@")) return undefined;
  if (current.startsWith('"')) return stringSuggestions(context, position, names);
  if (current !== "" && !/^[_\p{L}]/u.test(current)) return undefined;
  const from = position - current.length;
  if (before === ":" || before === "matches" || before === "extends") return { from, options: typeSuggestions(names) };
  const predicates = [...names.predicates].map((label): Suggestion => ({ label, kind: "predicate" }));
  const words = keywords.map((label): Suggestion => ({ label, kind: "keyword" }));
  return { from, options: [...predicates, ...typeSuggestions(names), ...words] };
}

function typeSuggestions({ blocks }: PolicyNames): Suggestion[] {
  return ["Actor", "Resource", "String", "Integer", "Boolean", ...blocks.keys()]
    .filter((label) => label !== "global")
    .map((label) => ({ label, kind: "type" }));
}

function stringSuggestions(
  { current, before, beforeThat, block }: Context,
  position: number,
  { blocks }: PolicyNames,
): Suggestions | undefined {
  const isComplete = current.length > 1 && current.endsWith('"') && !current.endsWith('\\"');
  // The content of a value is an id, which only the application knows.
  if (isComplete || (before === "{" && beforeThat !== undefined && /^\p{Lu}/u.test(beforeThat) && beforeThat !== block))
    return undefined;
  const from = position - current.length + 1;
  const own = block === undefined ? undefined : blocks.get(block);
  if (before === "on") return { from, options: relationsOf(block, own, blocks) };
  if (before === "global") return { from, options: namesOf("global", blocks.get("global")) };
  const shown = own === undefined ? [...blocks] : [[block ?? "", own] as const];
  const options = shown.flatMap(([type, names]) => namesOf(type, names));
  // A role or a permission on a related object: `"read" if "member" on "parent"`.
  const related = [...(own?.relations.values() ?? [])].flatMap((type) => namesOf(type, blocks.get(type)));
  return { from, options: unique([...options, ...relationsOf(block, own, blocks), ...related]) };
}

function namesOf(type: string, names: BlockNames | undefined): Suggestion[] {
  if (names === undefined) return [];
  return [
    ...[...names.roles].map((label): Suggestion => ({ label, kind: "role", of: type })),
    ...[...names.permissions].map((label): Suggestion => ({ label, kind: "permission", of: type })),
  ];
}

function relationsOf(
  block: string | undefined,
  own: BlockNames | undefined,
  blocks: PolicyNames["blocks"],
): Suggestion[] {
  const shown = block === undefined || own === undefined ? [...blocks.values()] : [own];
  return unique(
    shown.flatMap(({ relations }) =>
      [...relations].map(([label, of]): Suggestion => ({ label, kind: "relation", of })),
    ),
  );
}

/** Several types can have a name: it is suggested once for each kind. */
function unique(all: readonly Suggestion[]): Suggestion[] {
  const first = new Map<string, Suggestion>();
  for (const each of all) {
    const key = `${each.kind} ${each.label}`;
    if (!first.has(key)) first.set(key, each);
  }
  return [...first.values()];
}

function contextAt(text: string): Context {
  const tokens: string[] = [];
  let end = 0;
  /** For each open bracket the type of its block; undefined for others. */
  const open: (string | undefined)[] = [];
  for (const { 0: found, index } of text.matchAll(token)) {
    end = index + found.length;
    if (found === "{") open.push(blockOf(tokens));
    else if (found === "}") open.pop();
    tokens.push(found);
  }
  const last = tokens.at(-1) ?? "";
  // A comment or an unfinished string continues up to the position, also over spaces.
  const isInside = end === text.length && /^[_\p{L}@"#]/u.test(last);
  const previous = (isInside ? tokens.slice(0, -1) : tokens).filter((each) => !each.startsWith("#"));
  return {
    current: isInside ? last : "",
    before: previous.at(-1),
    beforeThat: previous.at(-2),
    block: open.findLast((type) => type !== undefined),
  };
}

/** The type of the block that the next bracket opens: `resource Doc`, `resource Doc extends Item, Other`, `global`. */
function blockOf(tokens: readonly string[]): string | undefined {
  if (tokens.at(-1) === "global") return "global";
  for (let index = tokens.length - 1; index > 0; index--) {
    const [word = "", before] = [tokens[index], tokens[index - 1]];
    if (before === "actor" || before === "resource") return /^\p{L}/u.test(word) ? word : undefined;
    if (word !== "," && word !== "extends" && !/^[_\p{L}]/u.test(word)) return undefined;
  }
  return undefined;
}
