/** The bundle of the console: its size, and that equal sources give equal bytes. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildConsole, type BuiltFile } from "../../scripts/console-archive.ts";
import { must } from "../../src/util/assert.ts";

const directory = mkdtempSync(join(tmpdir(), "ostiary-console-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const firstScreenBytesMax = 60_000;
const allBytesMax = 300_000;
/** The manual is data, which is loaded with its screen. */
const manualBytesMax = 150_000;

test("the first screen takes less than 60 kB, all scripts and styles less than 300 kB, as gzip", async () => {
  const files = await buildConsole(join(directory, "one"));
  const first = new Set<BuiltFile>();
  const add = (file: BuiltFile): void => {
    if (first.has(file)) return;
    first.add(file);
    for (const name of file.imports) add(must(files.find((each) => each.name === name)));
  };
  add(must(files.find(({ name }) => name === "index.html")));
  add(must(files.find(({ name }) => name.startsWith("overview-"))));
  expect([...first].map(({ name }) => name.replace(/-\w+\./, ".")).toSorted()).toEqual(
    expect.arrayContaining(["index.css", "index.html", "index.js", "overview.js"]),
  );
  expect(sum([...first])).toBeLessThan(firstScreenBytesMax);
  const code = files.filter(({ name }) => !name.endsWith(".json"));
  expect(sum(code)).toBeLessThan(allBytesMax);
  expect(sum(files) - sum(code)).toBeLessThan(manualBytesMax);
  await buildConsole(join(directory, "two"));
  const [one, two] = ["one", "two"].map((name) => readFileSync(join(directory, name)));
  expect(must(one).equals(must(two))).toBe(true);
}, 60_000);

function sum(files: readonly BuiltFile[]): number {
  return files.reduce((bytes, { gzipBytes }) => bytes + gzipBytes, 0);
}
