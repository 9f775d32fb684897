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
  if (!Bun.spawnSync(["git", "-C", root, "var", "GIT_COMMITTER_IDENT"]).success)
    problems.push("git has no name and address for commits: set them (git config user.name, git config user.email)");
  const versions = releasedVersions(root);
  const last = versions.at(-1);
  if (versions.includes(version))
    problems.push(`${version} was released already: a release is never changed, choose the next version`);
  else if (last !== undefined && Bun.semver.order(version, last) <= 0)
    problems.push(`${version} is not higher than the last release, ${last}`);
  return [...problems, ...changelogProblems(root, version)];
}

function changelogProblems(root: string, version: string): string[] {
  const [named, unreleased] = [notesOf(root, version), notesOf(root, nextRelease)];
  const section = named === undefined ? nextRelease : version;
  const notes = named ?? unreleased;
  if (notes === undefined)
    return [`CHANGELOG.md has no section \`## [${nextRelease}]\` or \`## [${version}] - YYYY-MM-DD\`: write one`];
  if (notes === "")
    return [
      `the section [${section}] in CHANGELOG.md is empty: describe the changes for people who run or use Ostiary`,
    ];
  if (named !== undefined && unreleased)
    return [`CHANGELOG.md has changes in [${nextRelease}] beside those of ${version}: move them to its section`];
  return [];
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

/** The section of CHANGELOG.md that a release gets its notes from. */
export const nextRelease = "Unreleased";

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

/** The notes as a file beside the downloads, where no path of the source leads anywhere. */
export function releaseNotes(version: string, notes: string): string {
  const text = notes.replaceAll(/\[((?:[^\]`]|`[^`]*`)+)\]\((?!https?:)[^)]*\)/g, "$1");
  const manual = "The manual is in `appliance/manual` of the source, and at `/console/#/manual` of every node.";
  return `# Ostiary ${version}\n\n${manual}\n\n${text}\n`;
}

function isHeadingOf(line: string, version: string): boolean {
  const [, named, date] = /^## \[([^\]]+)\](?: - (\S+))?\s*$/.exec(line) ?? [];
  if (version === nextRelease) return named === version;
  return named === version && date !== undefined && /^\d{4}-\d\d-\d\d$/.test(date);
}

/** Gives the section of the next release the version and today's date, unless one has them. */
function nameNotes(root: string, version: string): void {
  if (notesOf(root, version) !== undefined) return;
  const today = new Date().toISOString().slice(0, 10);
  const heading = `## [${nextRelease}]`;
  replaceIn(root, "CHANGELOG.md", /^## \[Unreleased\]$/m, `${heading}\n\n## [${version}] - ${today}`);
}

/** The files that name the version, each with what stands around it. The program reads that of `package.json`. */
const namesOfVersion: readonly (readonly [file: string, before: string, after: string])[] = [
  ["package.json", '^ {2}"version": "', '",$'],
  ["appliance/manual/deployment.md", "^ostiary ", String.raw` \(Deno`],
  ["appliance/manual/kubernetes.md", "^ +newTag: ", "$"],
  ["appliance/manual/upgrades.md", "registry.example/ostiary:", "$"],
];

/** Writes the version to all files that name it, and to the section of CHANGELOG.md. */
export function setVersion(root: string, version: string): void {
  for (const [file, before, after] of namesOfVersion)
    replaceIn(root, file, new RegExp(String.raw`(?<=${before})\d[\w.-]*(?=${after})`, "m"), version);
  nameNotes(root, version);
}

function replaceIn(root: string, file: string, pattern: RegExp, text: string): void {
  const path = join(root, file);
  const before = readFileSync(path, "utf8");
  if (!pattern.test(before)) throw new Error(`${file} has no text as expected (${pattern.source})`);
  writeFileSync(path, before.replace(pattern, text));
}

/** The files that a release changes. Other files can be edited meanwhile. */
export function filesOf(version: string): readonly string[] {
  const named = new Set(namesOfVersion.map(([file]) => file));
  return [...named, "CHANGELOG.md", releasesFile, `test/releases/${version}`];
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
