/** Prints the statements of a file or between braces, with the comments and single empty lines between them. */
import { type Doc, concat, hardLine, indent, isTall } from "./doc.ts";
import { type LineOfOwn, type Page, isBlankAbove, takeLines, takeTrailing } from "./page.ts";

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
