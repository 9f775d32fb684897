/**
 * Bundles the workers for the tests; `bunfig.toml` loads this before every test. Each worker, a thread or a process,
 * starts from one file with bytecode, built from the current source, instead of compiling some two hundred files. A node
 * starts in half the time, a worker process with 160 ms of a processor instead of 400, and the tests start thousands.
 * Nothing else differs. The bundle is kept below `node_modules` and named by a hash of its sources, so all test
 * processes of one tree share it.
 */
import type { Subprocess } from "bun";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { workerEntries } from "../scripts/worker-entries.ts";
import { treeHash } from "./tree-hash.ts";

const source = fileURLToPath(new URL("../src", import.meta.url));
const cache = fileURLToPath(new URL("../node_modules/.cache/ostiary-workers", import.meta.url));
/** Bundles of other trees are removed after this time, since a test may still use them. */
const keptMs = 2 * 60 * 60 * 1000;
/** What worker processes run. */
const program = "runtime/worker-process-main.ts";
let directory: string | undefined;

globalThis.Worker = class extends Worker {
  constructor(entry: string | URL, options?: WorkerOptions) {
    const path = String(entry).startsWith("file:") ? relative(source, fileURLToPath(entry)) : "";
    super(workerEntries.includes(path) ? bundled(path) : entry, options);
  }
};

const { spawn } = Bun;
const spawnBundled = (...parameters: readonly unknown[]): Subprocess => {
  const [command, options] = parameters;
  // `node:child_process` passes an object.
  const [runtime, main, name, entry] = Array.isArray(command) ? (command as readonly string[]) : [];
  if (runtime === undefined || main !== join(source, program) || name === undefined || entry === undefined)
    return Reflect.apply(spawn, Bun, parameters) as Subprocess;
  return spawn([runtime, bundled(program), name, scriptOf(entry)], options as object);
};
Object.defineProperty(Bun, "spawn", { value: spawnBundled });

/** The bundle of a file in `src/`. Found or made at the first start of a worker, because most tests need none. */
function bundled(entry: string): string {
  directory ??= bundle();
  return join(directory, scriptOf(entry));
}

function scriptOf(entry: string): string {
  return entry.replace(/\.ts$/, ".js");
}

function bundle(): string {
  const kept = join(cache, treeHash("src", "bun.lock").toString("hex", 0, 8));
  if (existsSync(kept)) return kept;
  mkdirSync(cache, { recursive: true });
  removeOld();
  const made = mkdtempSync(join(cache, "new-"));
  build(made, ["--format=cjs", "--bytecode"], workerEntries);
  // It finds the workers beside itself, which needs its own address.
  build(made, ["--format=esm"], [program]);
  try {
    renameSync(made, kept);
  } catch (error) {
    // Another test process was faster.
    if (!existsSync(kept)) throw error;
    rmSync(made, { recursive: true });
  }
  return kept;
}

function removeOld(): void {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && Date.now() - found.mtimeMs > keptMs) rmSync(path, { recursive: true, force: true });
  }
}

function build(outdir: string, flags: readonly string[], entries: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(
    [
      process.execPath,
      "build",
      "--target=bun",
      `--root=${source}`,
      `--outdir=${outdir}`,
      ...flags,
      ...entries.map((entry) => join(source, entry)),
    ],
    { stdout: "ignore", stderr: "pipe" },
  );
  if (exitCode !== 0) throw new Error(`the workers cannot be bundled: ${stderr.toString()}`);
}
