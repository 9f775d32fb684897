/**
 * Comments that turn off warnings where they stand: `# ignore rule/unused, rule/singleton: why`. A comment after an
 * item (a statement, a declared name, an entry) applies to it, also if it has several lines; one alone on its line
 * applies to the next item. Errors cannot be turned off.
 */
import type { Diagnostic } from "./diagnostic.ts";
import { tokenize } from "./lexer.ts";
import { createReport } from "./report.ts";
import type { Source } from "./source.ts";
import { isMark } from "./stream.ts";
import { reservedWords, type Token } from "./token.ts";

/** The diagnostics without the warnings that a comment turns off. */
export function withoutIgnored(diagnostics: readonly Diagnostic[], sources: readonly Source[]): Diagnostic[] {
  if (!diagnostics.some(({ severity }) => severity === "warning")) return [...diagnostics];
  const ignored = new Map(
    sources.filter(({ text }) => written.test(text)).map((source) => [source.name, ignoredIn(source)]),
  );
  return diagnostics.filter(
    ({ severity, code, span }) => severity === "error" || ignored.get(span.file)?.(code, span.start) !== true,
  );
}

const written = /#+[ \t]*ignore:?[ \t]+((?:(?:block|rule|syntax|test)\/[a-z]+(?:-[a-z]+)*[ \t,]*)+)/;

/** Tells whether a comment turns off the warnings with a code that begin at an offset. */
function ignoredIn(source: Source): (code: string, offset: number) => boolean {
  const { tokens, comments } = tokenize(source, createReport());
  const starts = itemStarts(tokens);
  const itemAt = (offset: number): number => {
    let [low, high] = [0, starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const ignored = new Set<string>();
  for (const { start, end, startsLine } of comments) {
    const found = written.exec(source.text.slice(start, end));
    if (found?.index !== 0) continue;
    // In a file without items, the comment applies to the file.
    const item = Math.min(itemAt(start) + (startsLine ? 1 : 0), starts.length);
    for (const code of found[1]?.match(/[a-z]+\/[a-z-]+/g) ?? []) ignored.add(`${item} ${code}`);
  }
  return (code, offset) => ignored.has(`${itemAt(offset)} ${code}`);
}

/** Where a statement, a declared name or an entry begins on a line of its own. */
function itemStarts(tokens: readonly Token[]): number[] {
  /** For each open bracket, whether it encloses items, and not arguments or values. */
  const open: boolean[] = [];
  return tokens.flatMap((token, index) => {
    const previous = tokens[index - 1];
    const mark = previous?.kind === "punctuation" ? previous.text : "";
    const isList = mark === "[" && isMark(tokens[index - 2] ?? token, "=");
    if (mark === "{" || mark === "(" || mark === "[") open.push(mark === "{" || isList);
    if (mark === "}" || mark === ")" || mark === "]") open.pop();
    const isBetween = previous === undefined || mark === ";" || (between.has(mark) && open.at(-1) !== false);
    const isItem = token.startsLine && token.kind !== "end" && !reservedWords.has(token.text);
    return isItem && isBetween ? [token.start] : [];
  });
}

const between: ReadonlySet<string> = new Set(["{", "}", "[", ","]);
