/** Completion of facts and actions in an input: whole texts that continue what is written. */
import { type Fact, formatValue, isObject, parseArguments, type Value } from "./fact-text.ts";

/** As `GET /api/autocomplete_info` answers. */
export interface Suggestions {
  /** For each predicate, lists of arguments that the policy uses. */
  readonly suggestions: Readonly<Record<string, readonly (readonly SuggestedArgument[])[]>>;
  readonly actors: readonly SuggestedArgument[];
  /** The permissions of each type. */
  readonly permissions?: Readonly<Record<string, readonly string[]>>;
}

/** A type, or the id of a String. */
export interface SuggestedArgument {
  readonly kind: "symbol" | "string";
  readonly value: string;
}

export const noSuggestions: Suggestions = { suggestions: {}, actors: [] };

const completionsMax = 50;

/** Texts that begin with `text` and go one argument further. `known` are values that were seen. */
export function completionsOf(text: string, { suggestions }: Suggestions, known: readonly Value[]): string[] {
  const open = text.indexOf("(");
  if (open === -1) return Object.keys(suggestions).map((predicate) => `${predicate}(`);
  const predicate = text.slice(0, open).trim();
  const comma = lastComma(text, open);
  const written = comma === open ? [] : parseArguments(text.slice(open + 1, comma));
  if (written === undefined) return [];
  const signatures = (suggestions[predicate] ?? []).filter(
    (args) => args.length > written.length && written.every((value, index) => fits(value, args[index])),
  );
  const start = comma === open ? text.slice(0, open + 1) : `${text.slice(0, comma)}, `;
  const found = signatures.flatMap((args) => {
    const next = args[written.length];
    const end = args.length === written.length + 1 ? ")" : ", ";
    return next === undefined ? [] : valuesFor(next, known).map((value) => complete(start + value, end, value));
  });
  return [...new Set(found)].filter((candidate) => candidate !== text).slice(0, completionsMax);
}

/** A string of a fact that no rule means, and the strings that rules mean there. Undefined if there is none. */
export function unknownNameIn(
  { predicate, args }: Fact,
  { suggestions }: Suggestions,
): { readonly name: string; readonly known: readonly string[] } | undefined {
  const all = suggestions[predicate] ?? [];
  const ofTypes = all.filter(
    (signature) =>
      signature.length === args.length &&
      args.every((arg, position) => arg.type === "String" || signature[position]?.value === arg.type),
  );
  for (const [position, { type, id: name }] of args.entries()) {
    const isName = ({ kind, value }: SuggestedArgument): boolean => kind === "string" && value === name;
    const options = ofTypes.flatMap((signature) => signature[position] ?? []);
    // The list has not each combination of a name and types.
    if (type !== "String" || all.some((signature) => signature[position] && isName(signature[position]))) continue;
    if (options.length > 0 && options.every(({ kind }) => kind === "string"))
      return { name, known: [...new Set(options.map(({ value }) => value))] };
  }
  return undefined;
}

/** The types of objects that the policy knows, in alphabetical order. */
export function typesOf({ suggestions, actors }: Suggestions): string[] {
  const args = [...Object.values(suggestions).flat(2), ...actors];
  const types = args.flatMap(({ kind, value }) => (kind === "symbol" && isObject({ type: value }) ? [value] : []));
  return [...new Set(types)].toSorted();
}

/** The actions of the policy: first those of the type that the text begins with. */
export function actionsOf({ permissions = {} }: Suggestions, object: string): string[] {
  const own = permissions[/^(?:[^:]|::)*/.exec(object)?.[0] ?? ""] ?? [];
  return [...new Set([...own, ...Object.values(permissions).flat().toSorted()])];
}

/** A type without an id is not complete. */
function complete(text: string, end: string, value: string): string {
  return value.endsWith(":") ? text : text + end;
}

function valuesFor({ kind, value }: SuggestedArgument, known: readonly Value[]): string[] {
  if (kind === "string") return [JSON.stringify(value)];
  const seen = known.filter(({ type }) => type === value).map(formatValue);
  if (value === "Boolean") return ["true", "false"];
  return isObject({ type: value }) ? [`${value}:`, ...seen] : seen;
}

function fits(value: { readonly type: string | null; readonly id: string | null }, arg: SuggestedArgument | undefined) {
  if (arg === undefined) return false;
  return arg.kind === "symbol" ? value.type === arg.value : value.type === "String" && value.id === arg.value;
}

/** The last comma between arguments, or the parenthesis. */
function lastComma(text: string, open: number): number {
  let last = open;
  let isQuoted = false;
  for (let index = open + 1; index < text.length; index++) {
    if (isQuoted && text[index] === "\\") index++;
    else if (text[index] === '"') isQuoted = !isQuoted;
    else if (text[index] === "," && !isQuoted) last = index;
  }
  return last;
}
