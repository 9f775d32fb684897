/**
 * Builds the web console into one archive: scripts and styles are bundled, get names with a hash of their content, and
 * are compressed, and so is the manual. The same sources give the same bytes.
 */
import * as Bun from "bun";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { type ArchivedFile, archiveName } from "../src/console/console-archive.ts";
import { must } from "../src/util/assert.ts";
import type { ManualFile } from "../src/console/ui/manual/pages.ts";

const root = resolve(import.meta.dirname, "..");
export const archivePath = join(root, "dist", archiveName);

/** What is sent of a file, in bytes. */
export interface BuiltFile {
  readonly name: string;
  readonly bytes: number;
  readonly gzipBytes: number;
  /** The other files that a browser loads with it. */
  readonly imports: readonly string[];
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

/** Writes the archive. Throws an error with the messages of the bundler. */
export async function buildConsole(output = archivePath): Promise<readonly BuiltFile[]> {
  const manual = Buffer.from(JSON.stringify(manualPages()));
  const manualName = `manual-${hashOf(manual).slice(0, 8)}.json`;
  const { outputs } = await Bun.build({
    entrypoints: [join(root, "src", "console", "ui", "index.html")],
    target: "browser",
    format: "esm",
    minify: true,
    splitting: true,
    naming: { entry: "[name].[ext]", chunk: "[name]-[hash].[ext]", asset: "[name]-[hash].[ext]" },
    define: { "process.env.NODE_ENV": '"production"', MANUAL_FILE: JSON.stringify(manualName) },
  });
  const contents = await Promise.all(
    outputs.map(async (file) => [basename(file.path), Buffer.from(await file.arrayBuffer())] as const),
  );
  const sorted = [...contents, [manualName, manual] as const].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const files = Object.fromEntries(sorted.map(([name, content]) => [name, archived(name, content)]));
  mkdirSync(dirname(output), { recursive: true });
  // It gets its name when it is complete, because a node may read it, and another build may write it, at any time.
  const unfinished = `${output}.${process.pid}`;
  writeFileSync(unfinished, JSON.stringify(files));
  renameSync(unfinished, output);
  return sorted.map(([name, content]) => ({
    name,
    bytes: content.byteLength,
    gzipBytes: gzipped(content).byteLength,
    imports: importsOf(name, content.toString()),
  }));
}

/** The files that a browser loads to show a screen: the page, its imports, and those of the screen. */
export function filesOfScreen(files: readonly BuiltFile[], screen: string): readonly BuiltFile[] {
  const loaded = new Set<BuiltFile>();
  const add = (isIt: (file: BuiltFile) => boolean): void => {
    const file = must(files.find(isIt));
    if (loaded.has(file)) return;
    loaded.add(file);
    for (const imported of file.imports) add(({ name }) => name === imported);
  };
  add(({ name }) => name === "index.html");
  add(({ name }) => name.startsWith(`${screen}-`) && name.endsWith(".js"));
  return [...loaded];
}

/** Of the files as gzip. */
export function gzipBytesOf(files: readonly BuiltFile[]): number {
  return files.reduce((bytes, { gzipBytes }) => bytes + gzipBytes, 0);
}

/** Scripts, styles and the page, without the manual, which is data. */
export function isCode({ name }: BuiltFile): boolean {
  return !name.endsWith(".json");
}

function archived(name: string, content: Buffer): ArchivedFile {
  const type = types[extname(name)];
  if (type === undefined) throw new Error(`the console has a file of an unknown type: ${name}`);
  const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  return {
    type,
    hash: hashOf(content),
    br: brotliCompressSync(content, { params: quality }).toString("base64"),
    gzip: gzipped(content).toString("base64"),
  };
}

/** 132 bits. */
function hashOf(content: Buffer): string {
  return createHash("sha256").update(content).digest("base64url").slice(0, 22);
}

/** The Markdown of each page of the manual by its name: that of its file, in lower case. */
export function manualPages(): ManualFile {
  const pages = [...new Bun.Glob("appliance/manual/*.md").scanSync(root), "src/polar/LANGUAGE.md"].toSorted();
  return Object.fromEntries(
    pages.map((path) => [basename(path, ".md").toLowerCase(), withoutPadding(readFileSync(join(root, path), "utf8"))]),
  );
}

/** The page without the spaces and lines that align the columns of its tables, 6 % of the compressed manual. */
function withoutPadding(markdown: string): string {
  return markdown.replaceAll(/^\|.*\|$/gm, (row) => row.replaceAll(/ +\|/g, " |").replaceAll(/-{3,} \|/g, "--- |"));
}

function gzipped(content: Buffer): Buffer {
  return gzipSync(content, { level: constants.Z_BEST_COMPRESSION });
}

/** Static imports of a script, and links of the page. */
function importsOf(name: string, text: string): string[] {
  const pattern = name.endsWith(".html") ? /(?:src|href)="\.\/([^"]+)"/g : /(?:\bfrom|\bimport)"\.\/([^"]+)"/g;
  return [...text.matchAll(pattern)].map(([, imported = ""]) => imported);
}

if (import.meta.main) {
  for (const { name, bytes, gzipBytes } of await buildConsole())
    console.log(`${name}: ${bytes} bytes, ${gzipBytes} as gzip`);
}
