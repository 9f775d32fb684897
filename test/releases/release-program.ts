/**
 * The program of a release, built from its tagged commit with the packages of that commit. It is kept in `dist/` by its
 * commit. A clone without tags (a shallow one) has no commit to build from.
 */
import * as Bun from "bun";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { projectRoot } from "../../scripts/built-binary.ts";

/** The commit of a release. Undefined if this clone does not have its tag. */
export function taggedCommit(version: string): string | undefined {
  return git("rev-parse", "--verify", "--quiet", `refs/tags/${version}^{commit}`)?.[0];
}

export const firstRelease = "0.1.0";

/** The releases from which clusters are upgraded in tests: the first one, and the one before this tree. */
export function upgradedReleases(): string[] {
  const [all, own] = [git("tag", "--list", "--merged", "HEAD"), git("tag", "--points-at", "HEAD")];
  return releasesBefore(all ?? [], own ?? [], packageJson.version);
}

/** `own` are the tags of a tree of this version. */
export function releasesBefore(tags: readonly string[], own: readonly string[], version: string): string[] {
  const before = tags
    .filter((tag) => /^\d+\.\d+\.\d+$/.test(tag) && !own.includes(tag))
    .filter((tag) => Bun.semver.order(tag, version) <= 0)
    .toSorted(Bun.semver.order);
  return [...new Set([firstRelease, before.at(-1) ?? firstRelease])];
}

/** The lines that it prints. Undefined without git, and if it fails. */
function git(...parameters: string[]): string[] | undefined {
  if (Bun.which("git") === null) return undefined;
  const found = Bun.spawnSync(["git", "-C", projectRoot, ...parameters]);
  return found.success ? found.stdout.toString().trim().split("\n") : undefined;
}

/** Returns the path of the program. */
export async function programAt(commit: string): Promise<string> {
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
