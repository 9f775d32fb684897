/** Prints terms, and calls, heads, lists and dictionaries with their brackets. */
import { unreachable } from "../../util/assert.ts";
import { stringLiteral } from "../string-literal.ts";
import type { Call, Dictionary, Head, List, Name, Param, Term } from "../syntax.ts";
import { type Doc, concat, group, indent } from "./doc.ts";
import { type Page, lineBefore, lineBeforeClosing } from "./page.ts";

export function printCall(page: Page, { predicate, args, span }: Call): Doc {
  return concat([predicate.text, printArguments(page, args.map(termItem), span.end - 1)]);
}

export function printHead(page: Page, { predicate, params, span }: Head): Doc {
  const items = params.map((param): Item => ({ text: printParam(param), start: param.term.span.start }));
  return concat([predicate.text, printArguments(page, items, span.end - 1)]);
}

export function printList(page: Page, { items, span }: List): Doc {
  return enclose(page, { open: "[", close: "]", joint: "", ending: "," }, items.map(termItem), span.end - 1);
}

export function printDictionary(page: Page, { entries, span }: Dictionary): Doc {
  const items = entries.map(({ key, type }): Item => ({
    text: type ? `${key.text}: ${type.text}` : key.text,
    start: key.span.start,
  }));
  return enclose(page, { open: "{", close: "}", joint: " ", ending: "," }, items, span.end - 1);
}

export function nameItem({ text, span }: Name): Item {
  return { text, start: span.start };
}

/** The items in parentheses. The grammar allows no comma before the closing one. */
export function printArguments(page: Page, items: readonly Item[], closing: number): Doc {
  return enclose(page, { open: "(", close: ")", joint: "", ending: "" }, items, closing);
}

export interface Item {
  readonly text: string;
  readonly start: number;
}

interface Brackets {
  readonly open: string;
  readonly close: string;
  /** The text next to the brackets if everything is on one line. */
  readonly joint: string;
  /** The text before the closing bracket if that is on its own line. */
  readonly ending: string;
}

function enclose(page: Page, brackets: Brackets, items: readonly Item[], closing: number): Doc {
  const { open, close, joint, ending } = brackets;
  if (items.length === 0) return group([open, lineBeforeClosing(page, "", closing, "opening"), close]);
  const parts = items.flatMap(({ text, start }, index) => [
    index === 0 ? "" : ",",
    index === 0 ? lineBefore(page, joint, start, "opening") : lineBefore(page, " ", start, "part"),
    text,
  ]);
  return group([open, indent(parts), lineBeforeClosing(page, joint, closing, "part", ending), close]);
}

function termItem(term: Term): Item {
  return { text: printTerm(term), start: term.span.start };
}

function printParam({ term, type }: Param): string {
  return type ? `${printTerm(term)}: ${type.text}` : printTerm(term);
}

export function printTerm(term: Term): string {
  switch (term.kind) {
    case "variable":
      return term.name;
    case "string":
      return stringLiteral(term.text);
    case "integer":
    case "boolean":
      return term.text;
    case "typed":
      return `${term.type.text}{${printTerm(term.value)}}`;
    case "now":
      return "@current_unix_time";
    default:
      return unreachable(term);
  }
}
