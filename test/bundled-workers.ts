/**
 * Bundles the workers for the tests; `bunfig.toml` loads this before every test. Each worker starts from one file with
 * bytecode, built from the current source, instead of compiling some two hundred files. A node starts in half the time,
 * and the tests start over a thousand nodes. Nothing else differs.
 */
import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { workerEntries } from "../scripts/worker-entries.ts";

const source = fileURLToPath(new URL("../src", import.meta.url));
const directories: string[] = [];
let bundles: ReadonlyMap<string, string> | undefined;

globalThis.Worker = class extends Worker {
  constructor(entry: string | URL, options?: WorkerOptions) {
    // Bundled at the first start of a worker, because most tests need none.
    bundles ??= bundle();
    super(bundles.get(String(entry)) ?? entry, options);
  }
};

// At the end of the run. `process` does not emit `exit` at every end of a test run.
afterAll(() => directories.forEach((directory) => rmSync(directory, { recursive: true, force: true })));

/** The path of each worker's bundle by the URL of its source. */
function bundle(): ReadonlyMap<string, string> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-workers-"));
  directories.push(directory);
  const flags = ["--target=bun", "--format=cjs", "--bytecode", `--root=${source}`, `--outdir=${directory}`];
  const { exitCode, stderr } = Bun.spawnSync(
    [process.execPath, "build", ...flags, ...workerEntries.map((entry) => join(source, entry))],
    { stdout: "ignore", stderr: "pipe" },
  );
  if (exitCode !== 0) throw new Error(`the workers cannot be bundled: ${stderr.toString()}`);
  return new Map(
    workerEntries.map((entry) => [
      new URL(`../src/${entry}`, import.meta.url).href,
      join(directory, entry.replace(/\.ts$/, ".js")),
    ]),
  );
}
