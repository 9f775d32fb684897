/**
 * A release of the last commit as `scripts/release` makes it, in a clone without tags. It takes minutes, so it is kept
 * by its commit. `RELEASE=FOLDER` names one that is there, such as `dist/release-0.2.0`.
 */
import * as Bun from "bun";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { git, nextRelease, notesOf, readReleases } from "../../scripts/release-checks.ts";
import { must } from "../../src/util/assert.ts";

export interface BuiltRelease {
  /** The folder with its files. */
  readonly folder: string;
  readonly version: string;
  /** The path of one of its files. */
  readonly file: (name: string) => string;
  /** The repository with its commits, if it was built here. */
  readonly repository?: string;
}

/** Runs a command to its end. Throws with its output if it fails. */
export async function run(command: readonly string[], cwd: string, timeoutMs = 60_000): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd,
    // A script of another tree installs the packages of its own.
    env: { ...process.env, OSTIARY_PACKAGES: "" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
  });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (status !== 0) throw new Error(`${command.join(" ")} ended with status ${status}:\n${output}${errors}`);
  return output;
}

export async function builtRelease(): Promise<BuiltRelease> {
  const given = process.env["RELEASE"];
  if (given !== undefined) return releaseIn(resolve(given));
  const kept = join(projectRoot, "dist", "release-of-tests", git(projectRoot, "rev-parse", "HEAD"));
  if (!existsSync(kept)) {
    // Another commit's is not needed any more, and has 2 GB.
    rmSync(join(kept, ".."), { recursive: true, force: true });
    await build(kept);
  }
  return releaseIn(join(kept, "files"), join(kept, "repository"));
}

function releaseIn(folder: string, repository?: string): BuiltRelease {
  const [, version = ""] = must(/^# Ostiary (\S+)$/m.exec(readFileSync(join(folder, "RELEASE-NOTES.md"), "utf8")));
  const file = (name: string): string => join(folder, name);
  return repository === undefined ? { folder, version, file } : { folder, version, file, repository };
}

async function build(kept: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "ostiary-release-"));
  const clone = join(work, "ostiary");
  try {
    git(projectRoot, "clone", "--quiet", "--no-tags", projectRoot, clone);
    git(clone, "switch", "--quiet", "--force-create", "main");
    git(clone, "config", "user.name", "Release test");
    git(clone, "config", "user.email", "release@example.org");
    const version = nextVersion(clone);
    await run([join(clone, "scripts", "release"), version], clone, 1_500_000);
    const unfinished = `${kept}.${process.pid}`;
    mkdirSync(unfinished, { recursive: true });
    cpSync(join(clone, "dist", `release-${version}`), join(unfinished, "files"), { recursive: true });
    git(clone, "clone", "--quiet", "--bare", clone, join(unfinished, "repository"));
    renameSync(unfinished, kept);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The minor version after the last release. Right after a release there are no notes yet: it gets some. */
function nextVersion(clone: string): string {
  const [major = 0, minor = 0] = must(readReleases(clone).at(-1)).version.split(".").map(Number);
  const version = `${major}.${minor + 1}.0`;
  if (!notesOf(clone, nextRelease) && !notesOf(clone, version)) {
    const path = join(clone, "CHANGELOG.md");
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(/^## \[Unreleased\]$/m, "$&\n\n- A change."));
    git(clone, "commit", "--quiet", "--all", "--message", "changelog: add a line");
  }
  return version;
}
