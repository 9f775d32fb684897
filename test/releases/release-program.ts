/**
 * The program of a release, built from its commit with the packages of that commit. It is kept in `dist/` by its commit.
 * `releases.json` names the commits, because clones have no tags.
 */
import * as Bun from "bun";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { git, readReleases } from "../../scripts/release-checks.ts";
import { must } from "../../src/util/assert.ts";

export const firstRelease = "0.1.0";

/** The releases from which clusters are upgraded in tests: the first and the last one. */
export function upgradedReleases(): string[] {
  const last = must(readReleases(projectRoot).at(-1));
  return [...new Set([firstRelease, last.version])];
}

/** The commit of a release. Throws if this clone does not have it. */
export function commitOf(version: string, root = projectRoot): string {
  const { commit } = must(
    readReleases(root).find((release) => release.version === version),
    `test/releases/releases.json names the commit of ${version}`,
  );
  try {
    git(root, "cat-file", "-e", `${commit}^{commit}`);
  } catch (error) {
    throw new Error(
      `this clone does not have the commit of ${version}, ${commit}: get it with \`git fetch --unshallow\`, or with \`git fetch origin ${commit}\``,
      { cause: error },
    );
  }
  return commit;
}

/** Returns the path of the program of a release. */
export async function programOf(version: string): Promise<string> {
  const commit = commitOf(version);
  const kept = join(projectRoot, "dist", "releases", commit, "ostiary");
  if (existsSync(kept)) return kept;
  const tree = mkdtempSync(join(tmpdir(), "ostiary-release-"));
  try {
    const archive = join(tree, "tree.tar");
    await run(["git", "archive", "--output", archive, commit], projectRoot);
    await run(["tar", "-xf", archive], tree);
    await addPackages(tree);
    await run([process.execPath, join("scripts", "build.ts")], tree);
    mkdirSync(join(kept, ".."), { recursive: true });
    // Another run may be building it as well.
    const unfinished = `${kept}.${process.pid}`;
    await run(["cp", join(tree, "dist", "ostiary"), unfinished], tree);
    renameSync(unfinished, kept);
    return kept;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** Uses today's packages if the lock file is the same. */
async function addPackages(tree: string): Promise<void> {
  const lock = (root: string): string => readFileSync(join(root, "bun.lock"), "utf8");
  const target = join(tree, "node_modules");
  if (lock(tree) === lock(projectRoot)) symlinkSync(join(projectRoot, "node_modules"), target);
  else await run([process.execPath, "install", "--frozen-lockfile", "--ignore-scripts"], tree);
}

async function run(command: string[], cwd: string): Promise<void> {
  const child = Bun.spawn(command, { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (status !== 0) throw new Error(`${command.join(" ")} ended with status ${status}:\n${output}${errors}`);
}
