/**
 * Parses the language reference: its blocks of code with the policy that each belongs to, its tables, and the text in
 * backticks.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import type { Source } from "../../src/polar/source.ts";
import { must } from "../../src/util/assert.ts";

export const path = "src/polar/LANGUAGE.md";
export const page = readFileSync(join(projectRoot, path), "utf8");

export interface Block {
  /** Its position, and the words after the backticks, which say its kind. */
  readonly title: string;
  readonly words: readonly string[];
  readonly text: string;
  /** The policy that it belongs to, including the block itself if it is a policy. */
  readonly sources: readonly Source[];
}

export const blocks = readBlocks();

/**
 * A policy begins with a block ```` ```polar ````, and continues in blocks with the word `continued`. Wrong examples
 * are not continued.
 */
function readBlocks(): Block[] {
  const found: Block[] = [];
  let policy: Source[] = [];
  let sources: Source[] = [];
  for (const match of page.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)) {
    const [info, text] = [must(match[1]), must(match[2])];
    const words = info.split(" ");
    if (words[0] === "polar" && words[1] !== "longhand") {
      const before = words[1] === "continued" ? policy : [];
      sources = [...before, { name: before.length === 0 ? "policy.polar" : `policy-${before.length + 1}.polar`, text }];
      if (words.length === 1 || words.at(-1) === "continued") policy = sources;
    }
    const line = page.slice(0, match.index).split("\n").length;
    found.push({ title: `line ${line}: ${info}`, words, text, sources });
  }
  return found;
}

const prose = page.replaceAll(/^```.*?^```$/gms, "");
export const inBackticks: readonly string[] = [...prose.matchAll(/`([^`]+)`/g)].map(([, text]) => must(text));

/** The rows of the table whose first column has this heading, with each cell as text. */
export function rowsOf(heading: string): string[][] {
  const rows = page.split(/\n(?!\|)/).map((part) => part.split("\n").filter((line) => line.startsWith("| ")));
  const table = rows.find(([first]) => first?.startsWith(`| ${heading} `));
  return must(table, `no table \`${heading}\``)
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** The texts in backticks of a cell. */
export function codesIn(cell: string | undefined): string[] {
  return [...(cell ?? "").matchAll(/`([^`]+)`/g)].map(([, text]) => must(text));
}
