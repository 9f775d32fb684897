/** Tables in the output of commands, and what stands in their place. */
import { printable } from "../util/printable.ts";

/** A table for people: columns with headings, one row per line. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows].map((row) => row.map(printable));
  const widths = headings.map((_, column) => Math.max(...lines.map((row) => row[column]?.length ?? 0)));
  return lines
    .map(
      (row) =>
        `${row
          .map((text, column) => text.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** For standard error, so that a program that reads the output gets no line. */
export const noResults = "(no results)\n";
