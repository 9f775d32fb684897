/** The filter of the list of facts: as written, as a part of the address, and as a request. */
import { printable } from "../../../util/printable.ts";
import { factsTexts } from "../texts/facts.ts";
import type { Suggestions } from "./completion.ts";
import type { ValuePattern } from "../../../util/value-text.ts";
import { fieldText, formatValue, parseArguments, parseValue } from "./fact-text.ts";

export interface FactsFilter {
  /** Empty for all. */
  readonly predicate: string;
  /** A type, or `Type:id`; empty for everything. */
  readonly mentions: string;
  /** Values and wildcards, separated by commas; empty for everything. */
  readonly args: string;
}

export const pageSize = 500;

export function filterIn(query: URLSearchParams): FactsFilter {
  const part = (name: string): string => query.get(name) ?? "";
  return { predicate: part("predicate"), mentions: fieldText(part("mentions")), args: argumentsText(part("args")) };
}

function argumentsText(text: string): string {
  const values = printable(text) === text ? undefined : parseArguments(text);
  return values === undefined ? text : values.map(formatValue).join(", ");
}

/** For the address; empty parts are left out. */
export function queryOf(filter: FactsFilter): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(filter).filter(([, text]) => text !== ""));
}

/** What is wrong with a filter. */
export function filterProblem({ mentions, args }: FactsFilter): string | undefined {
  if (mentions !== "" && mentionedIn(mentions) === undefined) return factsTexts.filter.invalidMentions(mentions);
  if (args.trim() !== "" && parseArguments(args) === undefined) return factsTexts.filter.invalidArguments(args);
  return undefined;
}

/** The request of a page. Parts of the filter that cannot be read are left out; the form says so. */
export function pathOf({ predicate, mentions, args }: FactsFilter, token: string | null = null): string {
  const value = mentionedIn(mentions);
  const values = parseArguments(args) ?? [];
  const page = { page_size: String(pageSize), ...(token !== null && { page_token: token }) };
  // Indexes find what mentions one object.
  if (
    value !== undefined &&
    value.type !== null &&
    value.id !== null &&
    predicate === "" &&
    values.length === 0 &&
    isInPath(value.id)
  )
    return objectPath({ type: value.type, id: value.id }, page);
  const query = new URLSearchParams(page);
  if (predicate !== "") query.set("predicate", predicate);
  for (const [index, arg] of values.entries()) setValue(query, `args.${index}`, arg);
  if (value !== undefined) setValue(query, "contains", value);
  return `/api/facts?${query}`;
}

/** The request of a page of the facts that mention an object. */
export function objectPath(
  { type, id }: { readonly type: string; readonly id: string },
  page: Readonly<Record<string, string>>,
): string {
  if (isInPath(id))
    return `/api/objects/${encodeURIComponent(type)}/${encodeURIComponent(id)}/facts?${new URLSearchParams(page)}`;
  const query = new URLSearchParams(page);
  setValue(query, "contains", { type, id });
  return `/api/facts?${query}`;
}

/** What the arguments of a predicate can be, as patterns: `User:_, _, Repository:_`. */
export function typeSignatures({ suggestions }: Suggestions, predicate: string): string[] {
  const patterns = (suggestions[predicate] ?? []).map((args) =>
    args.map(({ kind, value }) => (kind === "string" || value === "String" ? "_" : `${value}:_`)).join(", "),
  );
  return [...new Set(patterns)];
}

/** A URL has no such part. */
function isInPath(id: string): boolean {
  return id !== "." && id !== "..";
}

function mentionedIn(text: string): ValuePattern | undefined {
  if (/^[\p{L}_][\p{L}\p{N}_]*(?:::[\p{L}_][\p{L}\p{N}_]*)*$/u.test(text)) return { type: text, id: null };
  return parseValue(text);
}

function setValue(query: URLSearchParams, name: string, { type, id }: ValuePattern): void {
  if (type === null) return;
  query.set(`${name}.type`, type);
  if (id !== null) query.set(`${name}.id`, id);
}
