/** Places in the texts of a policy: from the lines and columns of the node to positions in a text. Pure. */
import type { Text } from "@codemirror/state";
import type { Validation } from "./reports.ts";

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A problem of a policy. */
export type Problem = Validation["problems"][number];

/** The nearest position in the text: it may have changed since the node answered. */
export function positionOf(text: Text, { line, column }: Place): number {
  if (line > text.lines) return text.length;
  const { from, to } = text.line(Math.max(1, line));
  return Math.min(from + Math.max(0, column - 1), to);
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

export function rangeOf(text: Text, { line, column, endLine, endColumn }: Problem): Range {
  const from = positionOf(text, { line, column });
  return { from, to: Math.max(from, positionOf(text, { line: endLine, column: endColumn })) };
}

/** The smallest range of the text that has to be replaced to get the next one, and what replaces it. */
export function changeBetween(text: string, next: string): Range & { readonly insert: string } {
  const shortest = Math.min(text.length, next.length);
  let from = 0;
  while (from < shortest && text[from] === next[from]) from += 1;
  let same = 0;
  while (same < shortest - from && text.at(-1 - same) === next.at(-1 - same)) same += 1;
  return { from, to: text.length - same, insert: next.slice(from, next.length - same) };
}

/** Errors first, then by place. */
export function sortedProblems<T extends Problem>(problems: readonly T[]): T[] {
  const rank = ({ severity }: Problem): number => (severity === "error" ? 0 : 1);
  return problems.toSorted(
    (one, other) =>
      rank(one) - rank(other) ||
      (one.file < other.file ? -1 : one.file > other.file ? 1 : 0) ||
      one.line - other.line ||
      one.column - other.column,
  );
}
