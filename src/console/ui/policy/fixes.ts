/** Applies a fix that the node gives for a problem to the texts of the files. Pure. */
import type { PolicyFile } from "./files.ts";
import type { Problem } from "./places.ts";

export type Fix = NonNullable<Problem["fixes"]>[number];
type Edit = Fix["edits"][number];

/** The new texts by name of the file. `files` are those that the node has checked. */
export function fixedTexts(files: readonly PolicyFile[], { edits }: Fix): ReadonlyMap<string, string> {
  return new Map(
    files.flatMap(({ name, text }) => {
      const own = edits.filter(({ file }) => file === name);
      return own.length === 0 ? [] : [[name, edited(text, own)] as const];
    }),
  );
}

/** The last edit first, so that the places of the others stay. */
function edited(text: string, edits: readonly Edit[]): string {
  const lines = text.split("\n");
  const offset = (line: number, column: number): number =>
    lines.slice(0, line - 1).reduce((sum, { length }) => sum + length + 1, 0) + column - 1;
  return edits
    .map(({ line, column, endLine, endColumn, text: inserted }) => ({
      from: offset(line, column),
      to: offset(endLine, endColumn),
      inserted,
    }))
    .toSorted((one, other) => other.from - one.from)
    .reduce((before, { from, to, inserted }) => before.slice(0, from) + inserted + before.slice(to), text);
}
