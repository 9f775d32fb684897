/** The documents of the tree as tests see them: their blocks of code, their links, and the names in backticks. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";

export interface Block {
  /** Such as `sh`; empty for a block without a language. */
  readonly language: string;
  readonly text: string;
  /** Where its text begins in the document. */
  readonly start: number;
  /** Whether nothing but empty lines stands between the block before and this one. */
  readonly followsBlock: boolean;
}

export interface Document {
  /** From the project's root, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
  /** Lines of all blocks; lines that a backslash continues are one. */
  readonly lines: readonly string[];
  readonly inBackticks: readonly string[];
  /** `lines` and `inBackticks`. */
  readonly code: readonly string[];
}

const manualFolder = "appliance/manual";

export const manualPaths: readonly string[] = readdirSync(join(projectRoot, manualFolder))
  .filter((name) => name.endsWith(".md"))
  .toSorted()
  .map((name) => `${manualFolder}/${name}`);

export const sourceOf = (path: string): string => readFileSync(join(projectRoot, path), "utf8");

const fence = /^```(\w*)[^\n]*\n(.*?)^```$/gms;

export function readDocument(path: string): Document {
  const text = sourceOf(path);
  const blocks: Block[] = [];
  let end = 0;
  for (const match of text.matchAll(fence)) {
    const [whole, language = "", content = ""] = match;
    const start = match.index + whole.indexOf("\n") + 1;
    blocks.push({
      language,
      text: content,
      start,
      followsBlock: end > 0 && text.slice(end, match.index).trim() === "",
    });
    end = match.index + whole.length;
  }
  const lines = blocks.flatMap((block) => block.text.replaceAll("\\\n", " ").split("\n"));
  const inBackticks = [...text.replaceAll(fence, "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) =>
    name.replaceAll(/\s+/g, " "),
  );
  return { path, text, blocks, lines, inBackticks, code: [...lines, ...inBackticks] };
}

/** Its text without code, which can contain kept names. */
export const proseOf = (text: string): string => text.replaceAll(fence, "").replaceAll(/`[^`]*`/g, "");

/** Each match once, sorted. */
export function named(pattern: RegExp, text: string): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([match]) => match))].toSorted();
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of text.replaceAll(fence, "").matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "");
    const anchor = plain.trim().replaceAll(" ", "-");
    for (let count = 0; ; count++) {
      const name = count === 0 ? anchor : `${anchor}-${count}`;
      if (anchors.has(name)) continue;
      anchors.add(name);
      break;
    }
  }
  return anchors;
}

/** Targets of links, in text outside of blocks of code. */
export function linksOf(text: string): string[] {
  return [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
}
