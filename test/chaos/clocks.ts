/**
 * Clocks of the processes of a cluster, which can be set wrong one by one. `libfaketime`, preloaded, adds to the time of day what stands in a file; the
 * monotonic clock stays right, as when somebody sets the clock of a machine. etcd is out of its reach, since Go asks the system for the time by itself.
 */
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class Clocks {
  /** Why clocks can't be set here; undefined where they can. */
  readonly missing: string | undefined;
  readonly #directory: string;
  readonly #library = findLibrary();

  /** What says how wrong they are is kept in this directory. */
  constructor(directory: string) {
    this.#directory = directory;
    if (this.#library === undefined) this.missing = "libfaketime is not installed (package faketime)";
  }

  /** What a process has to find in its environment. */
  prepare(name: string): Readonly<Record<string, string>> {
    if (this.#library === undefined) return {};
    this.set(name, 0);
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#fileOf(name),
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      FAKETIME_CACHE_DURATION: "1",
    };
  }

  /** Takes effect within a second. */
  set(name: string, seconds: number): void {
    const file = this.#fileOf(name);
    // Never half of it.
    writeFileSync(`${file}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`);
    renameSync(`${file}.new`, file);
  }

  #fileOf(name: string): string {
    return join(this.#directory, `${name}.clock`);
  }
}

function findLibrary(): string | undefined {
  const roots = ["/usr/lib", "/usr/local/lib"].filter(existsSync);
  const folders = roots.flatMap((root) => [root, ...readdirSync(root).map((name) => join(root, name))]);
  const candidates = folders.map((folder) => join(folder, "faketime", "libfaketimeMT.so.1"));
  return candidates.find((path) => existsSync(path));
}
