/** A YAML or JSON file with the line of each of its values. */
import { isNode, LineCounter, parseDocument } from "yaml";
import { ImportError, type Place } from "./relation-model.ts";

export type Path = readonly (string | number)[];

export interface YamlFile {
  readonly value: unknown;
  /** Where the value at the path stands, or the nearest value around it. */
  place(path: Path): Place;
}

/** Throws ImportError for invalid YAML. */
export function parseYamlFile(text: string, file: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: false, logLevel: "error" });
  const [problem] = document.errors;
  if (problem !== undefined) throw new ImportError({ file, line: lines.linePos(problem.pos[0]).line }, problem.message);
  return {
    value: document.toJS({ maxAliasCount: 100 }),
    place(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const node = document.getIn(path.slice(0, length), true);
        if (isNode(node) && node.range) return { file, line: lines.linePos(node.range[0]).line };
      }
      return { file, line: 1 };
    },
  };
}
