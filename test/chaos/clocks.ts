/**
 * The clocks of the processes of a cluster, which can be set wrong one by one. The preloaded `libfaketime` adds the
 * offset in a file to the time of day; the monotonic clock stays right, as when the clock of a machine is set. It does
 * not affect etcd, because Go programs ask the system for the time directly.
 */
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class Clocks {
  /** Why clocks cannot be set on this machine; undefined if they can. */
  readonly missing: string | undefined;
  readonly #directory: string;
  readonly #library = findLibrary();

  /** The directory for the files with the offsets. */
  constructor(directory: string) {
    this.#directory = directory;
    if (this.#library === undefined) this.missing = "libfaketime is not installed (package faketime)";
  }

  /** The environment variables that a process needs. */
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
    // A rename, so that a process never reads half of it.
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
