/** The program of an earlier commit, built with the packages of that commit. It is kept in `dist/` by its commit. */
import * as Bun from "bun";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "./built-binary.ts";
import { git } from "./release-checks.ts";

/** Throws if the repository does not have the commit. `what` is what it is called in the error. */
export function requireCommit(commit: string, what: string, root = projectRoot): void {
  try {
    git(root, "cat-file", "-e", `${commit}^{commit}`);
  } catch (error) {
    throw new Error(
      `this clone does not have the commit of ${what}, ${commit}: get it with \`git fetch --unshallow\`, or with \`git fetch origin ${commit}\``,
      { cause: error },
    );
  }
}

/** Returns the path of the program. */
export async function programOfCommit(commit: string): Promise<string> {
  const kept = join(projectRoot, "dist", "releases", commit, "ostiary");
  if (existsSync(kept)) return kept;
  const tree = mkdtempSync(join(tmpdir(), "ostiary-commit-"));
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
