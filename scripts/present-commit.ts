/** The commit that a build notes in the program. */
import * as Bun from "bun";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** The commit, with a mark if the tree differs from it; null without git or a repository. */
export function presentCommit(): string | null {
  const git = (...parameters: string[]): string | null => {
    if (Bun.which("git") === null) return null;
    const result = Bun.spawnSync(["git", ...parameters], { cwd: root, stderr: "ignore" });
    return result.success ? result.stdout.toString().trim() : null;
  };
  // A fixed length, because git makes it longer in a repository with many objects.
  const head = git("rev-parse", "HEAD")?.slice(0, 12);
  if (head === undefined || head === "") return null;
  return git("status", "--porcelain") === "" ? head : `${head}-modified`;
}
