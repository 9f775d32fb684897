/**
 * The source text with its comments, read once in its order: the comments of an offset are those before it that are not
 * printed yet. Prints statements with the comments and single empty lines between them.
 *
 * Comments are printed at possible line breaks. A comment after other text stays at the end of that line; one on its
 * own line keeps one; one where no line may end (`a = # why`) moves to the next possible break. So a second run finds
 * each comment where the first printed it, and formatting twice changes nothing.
 */
import { must } from "../../util/assert.ts";
import { type Doc, concat, hardLine, indent, isTall, line, suffix } from "./doc.ts";
import type { Comment, Token } from "../token.ts";

export interface Page {
  readonly text: string;
  readonly tokens: readonly Token[];
  readonly comments: readonly Comment[];
  /** Index of the first comment not printed yet. */
  next: number;
}

interface LineOfOwn {
  readonly doc: Doc;
  /** Whether an empty line was above it. */
  readonly blank: boolean;
}

/** Takes the comments before an offset: one at the end of the line, and those on lines of their own. */
function takeRemarks(page: Page, offset: number) {
  const trailing = takeTrailing(page, offset);
  return { trailing, lines: takeLines(page, offset) };
}

/** The next comment, if other text was before it on its line. */
function takeTrailing(page: Page, offset: number): Doc | undefined {
  const comment = page.comments[page.next];
  if (!comment || comment.start >= offset || comment.startsLine) return undefined;
  page.next += 1;
  return suffix(` ${textOf(page, comment)}`);
}

function takeLines(page: Page, offset: number): LineOfOwn[] {
  const lines: LineOfOwn[] = [];
  for (;;) {
    const comment = page.comments[page.next];
    if (!comment || comment.start >= offset) return lines;
    page.next += 1;
    lines.push({ doc: textOf(page, comment), blank: isBlankAbove(page, comment.start) });
  }
}

/** What is before a line break: `(`, `if` or similar, after which no empty line is kept, or a part like the next. */
export type Before = "opening" | "part";

/** A possible line break before the part that begins at `offset`. */
export function lineBefore(page: Page, joint: string, offset: number, before: Before): Doc {
  const { trailing, lines } = takeRemarks(page, offset);
  const blank = isBlankAbove(page, offset) && (before === "part" || lines.length > 0);
  if (!trailing && lines.length === 0) return line(joint, { blank });
  return concat([trailing ?? "", ...onLines(lines, before), hardLine(blank)]);
}

/** A possible line break before the closing mark at `offset`. Comments, and the comma `ending`, belong before it. */
export function lineBeforeClosing(page: Page, joint: string, offset: number, before: Before, ending = ""): Doc {
  const { trailing, lines } = takeRemarks(page, offset);
  if (!trailing && lines.length === 0) return line(joint, { ending });
  return concat([ending, trailing ?? "", indent(onLines(lines, before)), hardLine()]);
}

/**
 * The `;` of a statement that ends at `end`, also if the text lacks it. Comments on lines of their own before it, such as
 * a disabled condition, stay before it.
 */
export function semicolon(page: Page, end: number): Doc {
  const offset = page.text[end - 1] === ";" ? end - 1 : end;
  const comments = page.comments.slice(page.next, page.next + 2).filter((comment) => comment.start < offset);
  if (comments.every((comment) => !comment.startsLine)) return ";";
  const { trailing, lines } = takeRemarks(page, offset);
  return concat([trailing ?? "", indent(onLines(lines, "part")), hardLine(), ";"]);
}

function onLines(lines: readonly LineOfOwn[], before: Before): Doc[] {
  return lines.flatMap(({ doc, blank }, index) => [hardLine(blank && (index > 0 || before === "part")), doc]);
}

export interface Item {
  readonly start: number;
  /** Must be called in the order of the text. */
  readonly print: () => Doc;
  /** Whether empty lines separate it from its neighbours if it takes several lines. */
  readonly isBlock?: boolean;
}

/** `head`, `{`, a line for each item, and the `}` at offset `closing`. */
export function printBraces(page: Page, head: Doc, items: readonly Item[], closing: number): Doc {
  const trailing = takeTrailing(page, items[0]?.start ?? closing);
  const lines = printItems(page, items, closing);
  if (!trailing && lines.length === 0) return concat([head, "{}"]);
  return concat([head, "{", trailing ?? "", indent(lines), hardLine(), "}"]);
}

/** Each line begins with its line break. `end` is the end of the enclosing file or block. */
export function printItems(page: Page, items: readonly Item[], end: number): Doc[] {
  const parts: Doc[] = [];
  let afterTall = false;
  const add = (lines: readonly LineOfOwn[], apart: boolean): void => {
    const missing = apart && !lines.some(({ blank }) => blank);
    for (const [index, { doc, blank }] of lines.entries()) {
      const isFirst = parts.length === 0;
      parts.push(hardLine(!isFirst && (blank || (missing && index === 0))), doc);
    }
  };
  for (const [index, { start, print, isBlock = false }] of items.entries()) {
    const remarks = takeLines(page, start);
    const doc = print();
    const tall = isBlock && isTall(doc);
    add([...remarks, { doc, blank: isBlankAbove(page, start) }], tall || afterTall);
    const trailing = takeTrailing(page, items[index + 1]?.start ?? end);
    if (trailing) parts.push(trailing);
    afterTall = tall;
  }
  add(takeLines(page, end), false);
  return parts;
}

/** Whether an empty line is before the text at `offset`. */
function isBlankAbove({ text }: Page, offset: number): boolean {
  let breaks = 0;
  for (let at = offset - 1; at >= 0; at -= 1) {
    const character = text[at] ?? "";
    if (character === "\n") breaks += 1;
    else if (!/\s/.test(character)) break;
  }
  return breaks > 1;
}

/** The token after `offset`: a `)` or a `;`, whose position the tree does not have. */
export function tokenAfter(page: Page, offset: number): Token {
  return must(page.tokens[firstFrom(page, offset)]);
}

export function tokenBefore(page: Page, offset: number): Token | undefined {
  return page.tokens[firstFrom(page, offset) - 1];
}

/** Index of the first token that begins at `offset` or after it. */
function firstFrom({ tokens }: Page, offset: number): number {
  let low = 0;
  let high = tokens.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tokens[middle]?.start ?? Infinity) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function textOf({ text }: Page, { start, end }: Comment): string {
  return text.slice(start, end).trimEnd();
}
