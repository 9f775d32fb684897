/**
 * Copies of the data directories of nodes, and how a directory is rolled back or damaged: as when the disk of a machine
 * is set back to a snapshot, or has lost the end of a file. The node of the directory does not run meanwhile; a copy is
 * also taken of a frozen node.
 */
import * as Bun from "bun";
import { mkdirSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { below, pick, type Random } from "../../scripts/benchmark/random.ts";
import { programPath } from "../e2e/program.ts";

interface Copy {
  readonly path: string;
  readonly takenMs: number;
}

/** The age after which a copy is replaced by the next one. */
const keptMsMax = 60_000;
/** How many bytes a file loses at its end. */
const tornBytesMax = 20_000;

export class DirectorySnapshots {
  readonly #directory: string;
  readonly #copies = new Map<string, Copy>();

  /** The directory for the copies. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Takes a copy unless there is a recent one. */
  async keep(name: string, data: string): Promise<void> {
    const now = performance.now();
    const before = this.#copies.get(name);
    if (before !== undefined && now - before.takenMs < keptMsMax) return;
    const path = join(this.#directory, `${name}.copy`);
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { mode: 0o700 });
    await copy(data, path);
    this.#copies.set(name, { path, takenMs: now });
  }

  /** Rolls the directory back. Returns the age of the copy in ms. */
  async putBack(name: string, data: string): Promise<number> {
    const kept = this.#copies.get(name);
    if (kept === undefined) throw new Error(`there is no copy of the data of ${name}`);
    for (const entry of readdirSync(data)) rmSync(join(data, entry), { recursive: true, force: true });
    await copy(kept.path, data);
    return performance.now() - kept.takenMs;
  }
}

/** Truncates one of the files of the database. Returns a description. */
export function truncateFile(data: string, next: Random): string {
  const files = readdirSync(data).filter((name) => /\.db(?:-wal)?$/.test(name));
  const torn = files.filter((name) => statSync(join(data, name)).size > 0);
  if (torn.length === 0) return "nothing";
  const name = pick(next, torn);
  const { size } = statSync(join(data, name));
  const lost = Math.min(size, 1 + below(next, tornBytesMax));
  truncateSync(join(data, name), size - lost);
  return `${name} without its last ${lost} of ${size} bytes`;
}

/** In a process of its own, because clients in this process measure the duration of their reads. */
async function copy(from: string, to: string): Promise<void> {
  const child = Bun.spawn([programPath("cp"), "-a", `${from}/.`, to], { stderr: "pipe" });
  if ((await child.exited) !== 0) throw new Error(`the copy of ${from} failed: ${await child.stderr.text()}`);
}
