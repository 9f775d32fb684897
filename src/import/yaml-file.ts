/** A YAML or JSON file with the line of each of its values. */
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import { clip } from "../util/text-length.ts";
import { ImportError, type Place } from "./relation-model.ts";

export type Path = readonly (string | number)[];

export interface YamlFile {
  readonly value: unknown;
  /** Where the value at the path stands, or the nearest value around it. */
  place(path: Path): Place;
}

/** Brackets within each other. The parser recurses into them. */
const nestingMax = 200;

/** Throws ImportError for invalid YAML. */
export function parseYamlFile(text: string, file: string): YamlFile {
  checkNesting(text, file);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    merge: false,
    logLevel: "error",
    uniqueKeys: false,
  });
  const [problem] = document.errors;
  if (problem !== undefined) throw new ImportError({ file, line: lines.linePos(problem.pos[0]).line }, problem.message);
  // The library compares each key with all others.
  visit(document, {
    Map(_, { items }) {
      const keys = new Set<string>();
      for (const { key } of items) {
        const name = keyOf(key);
        const line = isNode(key) && key.range ? lines.linePos(key.range[0]).line : 1;
        if (keys.has(name)) throw new ImportError({ file, line }, `the key \`${clip(name, 80)}\` stands there twice`);
        keys.add(name);
      }
    },
  });
  const entries = new Entries();
  return {
    value: document.toJS({ maxAliasCount: 100 }),
    place(path) {
      let line = 1;
      let node: unknown = document.contents;
      for (const part of path) {
        node = entries.in(node, part);
        if (!isNode(node)) break;
        if (node.range) line = lines.linePos(node.range[0]).line;
      }
      return { file, line };
    },
  };
}

function keyOf(key: unknown): string {
  return String(isScalar(key) ? key.value : key);
}

/** The values of maps by their keys: the library searches all keys each time. */
class Entries {
  readonly #found = new WeakMap<object, ReadonlyMap<string, unknown>>();

  in(node: unknown, part: string | number): unknown {
    if (isSeq(node)) return typeof part === "number" ? node.items[part] : undefined;
    if (!isMap(node)) return undefined;
    const known = this.#found.getOrInsertComputed(
      node,
      () => new Map(node.items.map(({ key, value }) => [keyOf(key), value])),
    );
    return known.get(String(part));
  }
}

function checkNesting(text: string, file: string): void {
  let [depth, line] = [0, 1];
  for (const [found] of text.matchAll(/"(?:\\.|[^"\\\n])*"|[[\]{}\n]/g)) {
    if (found === "\n") line += 1;
    else if (found === "[" || found === "{") depth += 1;
    else if (found === "]" || found === "}") depth = Math.max(0, depth - 1);
    if (depth > nestingMax)
      throw new ImportError({ file, line }, `more than ${nestingMax} brackets within each other: split the expression`);
  }
}
