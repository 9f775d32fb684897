/** The programs of releases. `releases.json` names their commits, because clones have no tags. */
import { projectRoot } from "../../scripts/built-binary.ts";
import { programOfCommit, requireCommit } from "../../scripts/program-of-commit.ts";
import { readReleases } from "../../scripts/release-checks.ts";
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
  requireCommit(commit, version, root);
  return commit;
}

/** Returns the path of the program of a release. */
export function programOf(version: string): Promise<string> {
  return programOfCommit(commitOf(version));
}
