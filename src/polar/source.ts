/** A source text. Positions in it count lines and columns from 1, columns in UTF-16 code units, as editors do. */
export interface Source {
  /** The name that diagnostics print. */
  readonly name: string;
  readonly text: string;
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Offsets at which the lines of a text begin, for `positionAt`. */
export type LineStarts = readonly number[];

/** A line ends at `\n`, at `\r\n`, or at a `\r` alone, as in editors. */
export function lineStarts(text: string): LineStarts {
  const starts = [0];
  for (const { 0: end, index } of text.matchAll(/\r\n?|\n/g)) starts.push(index + end.length);
  return starts;
}

const startsBySource = new WeakMap<Source, LineStarts>();

/** The line starts of a source, computed once: a megabyte of text may have a hundred problems. */
export function startsOf(source: Source): LineStarts {
  return startsBySource.getOrInsertComputed(source, () => lineStarts(source.text));
}

export function positionAt(starts: LineStarts, offset: number): Position {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
}

/** The text of a line, counted from 1, without its line break. */
export function lineText(text: string, starts: LineStarts, line: number): string {
  return text.slice(starts[line - 1] ?? text.length, starts[line] ?? text.length).replace(/\r?\n$|\r$/, "");
}
