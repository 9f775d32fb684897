/** The checks of a repository before a release, and the files that contain the version. */
import * as Bun from "bun";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const versionPattern = /^(?:(?:0|[1-9]\d*)\.){2}(?:0|[1-9]\d*)(?:-[0-9a-z.-]+)?$/;

/** All reasons why this version cannot be released from the repository at `root`, each with its remedy. */
export function problemsOf(root: string, version: string): string[] {
  if (!versionPattern.test(version))
    return [`\`${version}\` is no version: use three numbers, such as 0.2.0, or 0.2.0-rc.1 for a preview`];
  const problems: string[] = [];
  const branch = git(root, "rev-parse", "--abbrev-ref", "HEAD");
  if (branch !== "main")
    problems.push(`the branch is \`${branch}\`: releases are made from \`main\` (git switch main)`);
  const changed = git(root, "status", "--porcelain", "--untracked-files=all").split("\n").filter(Boolean);
  if (changed.length > 0)
    problems.push(
      `the tree has changes that are not committed: commit or stash them (git stash --include-untracked)\n${listOf(changed)}`,
    );
  const versions = releasedVersions(root);
  const last = versions.at(-1);
  if (versions.includes(version))
    problems.push(`${version} was released already: a release is never changed, choose the next version`);
  else if (last !== undefined && Bun.semver.order(version, last) <= 0)
    problems.push(`${version} is not higher than the last release, ${last}`);
  const notes = notesOf(root, version);
  if (notes === undefined) problems.push(`CHANGELOG.md has no section \`## [${version}] - YYYY-MM-DD\`: write one`);
  else if (notes === "")
    problems.push(
      `the section of ${version} in CHANGELOG.md is empty: describe the changes for people who run or use Ostiary`,
    );
  return problems;
}

const listOf = (changed: readonly string[]): string => {
  const shown = changed.slice(0, 10).map((line) => `    ${line}`);
  return [...shown, ...(changed.length > shown.length ? [`    and ${changed.length - shown.length} more`] : [])].join(
    "\n",
  );
};

/** Tags that are versions, and the versions with a named commit, since a clone may have no tags. Lowest first. */
function releasedVersions(root: string): string[] {
  const tags = git(root, "tag", "--list")
    .split("\n")
    .filter((tag) => versionPattern.test(tag));
  const named = readReleases(root).map(({ version }) => version);
  return [...new Set([...tags, ...named])].toSorted(Bun.semver.order);
}

interface ReleaseCommit {
  readonly version: string;
  readonly commit: string;
}

const releasesFile = join("test", "releases", "releases.json");

/** The releases with their commits, oldest first. Tests build the programs of these commits. */
export function readReleases(root: string): readonly ReleaseCommit[] {
  return JSON.parse(readFileSync(join(root, releasesFile), "utf8")) as readonly ReleaseCommit[];
}

/** Names the present commit as that of a release, in a commit that follows on it. */
export function nameCommit(root: string, version: string): ReleaseCommit {
  const named = { version, commit: git(root, "rev-parse", "HEAD") };
  writeFileSync(join(root, releasesFile), `${JSON.stringify([...readReleases(root), named], undefined, 2)}\n`);
  git(root, "add", "--", releasesFile);
  git(root, "commit", "--quiet", "--message", `release: name the commit of ${version}`);
  return named;
}

/** The section of a version in CHANGELOG.md without its heading; undefined if there is none. */
export function notesOf(root: string, version: string): string | undefined {
  const path = join(root, "CHANGELOG.md");
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  const start = lines.findIndex((line) => isHeadingOf(line, version));
  if (start === -1) return undefined;
  const length = lines.slice(start + 1).findIndex((line) => line.startsWith("## "));
  const section = lines.slice(start + 1, length === -1 ? undefined : start + 1 + length);
  // Headings without content do not count.
  return section.every((line) => line.trim() === "" || line.startsWith("#")) ? "" : section.join("\n").trim();
}

function isHeadingOf(line: string, version: string): boolean {
  const [, named, date] = /^## \[([^\]]+)\](?: - (\S+))?\s*$/.exec(line) ?? [];
  return named === version && date !== undefined && /^\d{4}-\d\d-\d\d$/.test(date);
}

/**
 * Writes the version to all files that contain it: `package.json`, which the program reads, and the name of the image
 * in the README.
 */
export function setVersion(root: string, version: string): void {
  const replaceIn = (name: string, pattern: RegExp, text: string): void => {
    const path = join(root, name);
    const before = readFileSync(path, "utf8");
    if (!pattern.test(before)) throw new Error(`${name} does not name the version as expected (${pattern.source})`);
    writeFileSync(path, before.replace(pattern, text));
  };
  replaceIn("package.json", /^ {2}"version": "[^"]+",$/m, `  "version": "${version}",`);
  replaceIn("README.md", /(?<=`ostiary:)[^`]+(?=`)/, version);
  replaceIn("README.md", /(?<=`ostiary-)\d[^`]*(?=\.tgz`)/, version);
}

/** The files that a release changes. Other files can be edited meanwhile. */
export function filesOf(version: string): readonly string[] {
  return ["package.json", "README.md", releasesFile, `test/releases/${version}`];
}

/** Resets the branch to the commit `before`, and restores the files of the release. Other files do not change. */
export function undoRelease(root: string, version: string, before: string): void {
  git(root, "reset", "--quiet", "--soft", before);
  git(root, "reset", "--quiet", "--", ...filesOf(version));
  git(root, "clean", "--quiet", "--force", "-d", "--", `test/releases/${version}`);
  const tracked = filesOf(version).filter((path) => git(root, "ls-files", "--", path) !== "");
  git(root, "checkout", "--quiet", "--", ...tracked);
}

/** Throws if git fails. */
export function git(root: string, ...words: string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(["git", "-C", root, ...words]);
  if (!success) throw new Error(`git ${words.join(" ")} failed: ${stderr.toString().trim()}`);
  return stdout.toString().trimEnd();
}
