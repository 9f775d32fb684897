/** Source texts and the places in them, as people count: lines and columns from 1, columns in UTF-16 code units (as editors do). */
export interface Source {
  /** The name that diagnostics print. */
  readonly name: string;
  readonly text: string;
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Offsets at which the lines of a text begin; made once per text, then asked with `positionAt`. */
export type LineStarts = readonly number[];

export function lineStarts(text: string): LineStarts {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
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
  const end = starts[line];
  return text.slice(starts[line - 1] ?? text.length, end === undefined ? text.length : end - 1).replace(/\r$/, "");
}
