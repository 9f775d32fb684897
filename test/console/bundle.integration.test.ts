/** The bundle of the console: its size, and that equal sources give equal bytes. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildConsole, filesOfScreen, gzipBytesOf, isCode } from "../../scripts/console-archive.ts";
import { must } from "../../src/util/assert.ts";

const directory = mkdtempSync(join(tmpdir(), "ostiary-console-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const firstScreenBytesMax = 60_000;
const allBytesMax = 350_000;
/** The manual is data, which is loaded with its screen. */
const manualBytesMax = 175_000;

test("the first screen takes less than 60 kB, all scripts and styles less than 350 kB, as gzip", async () => {
  const files = await buildConsole(join(directory, "one"));
  const first = filesOfScreen(files, "overview");
  expect(first.map(({ name }) => name.replace(/-\w+\./, ".")).toSorted()).toEqual(
    expect.arrayContaining(["index.css", "index.html", "index.js", "overview.js"]),
  );
  expect(gzipBytesOf(first)).toBeLessThan(firstScreenBytesMax);
  expect(gzipBytesOf(files.filter(isCode))).toBeLessThan(allBytesMax);
  expect(gzipBytesOf(files.filter((file) => !isCode(file)))).toBeLessThan(manualBytesMax);
  await buildConsole(join(directory, "two"));
  const [one, two] = ["one", "two"].map((name) => readFileSync(join(directory, name)));
  expect(must(one).equals(must(two))).toBe(true);
}, 60_000);
