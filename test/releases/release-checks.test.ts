/** The checks of `scripts/release`, in a small repository, and that the tree names one version only. */
import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { projectRoot } from "../../scripts/built-binary.ts";
import {
  filesOf,
  git,
  nameCommit,
  notesOf,
  problemsOf,
  readReleases,
  releaseNotes,
  setVersion,
  undoRelease,
} from "../../scripts/release-checks.ts";
import { schemaVersion } from "../../src/store/connection/database-format.ts";
import { must } from "../../src/util/assert.ts";
import { withDirectory } from "../replication/cluster.ts";
import { recordedVersions } from "./recorded.ts";
import { commitOf } from "./release-program.ts";

const changelog = `# Changelog

## [Unreleased]

## [0.3.0] - 2026-12-01

### Added

## [0.2.0] - 2026-11-30

### Added

- Something.

## [0.1.0] - 2026-11-28

- The first.
`;

/** The files that name the version, beside the changelog. */
const namesVersion: Readonly<Record<string, (version: string) => string>> = {
  "package.json": (version) => `{\n  "name": "x",\n  "version": "${version}",\n  "private": true\n}\n`,
  "appliance/manual/deployment.md": (version) => `ostiary ${version} (Deno 2.9.6)\n`,
  "appliance/manual/kubernetes.md": (version) => `images:\n  - name: ostiary\n    newTag: ${version}\n`,
  "appliance/manual/upgrades.md": (version) => `From 0.1.0:\n    - image: registry.example/ostiary:${version}\n`,
};

/** A repository with the release 0.1.0, from which 0.2.0 can be made. */
function withRepository(body: (root: string) => void): Promise<void> {
  return withDirectory(async (root) => {
    for (const [name, lines] of Object.entries(namesVersion)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), lines("0.1.0"));
    }
    writeFileSync(join(root, "CHANGELOG.md"), changelog);
    mkdirSync(join(root, "test", "releases"), { recursive: true });
    writeFileSync(join(root, "SECURITY.md"), "Tell us.\n");
    writeFileSync(join(root, "test", "releases", "releases.json"), "[]");
    git(root, "init", "--quiet", "--initial-branch=main");
    git(root, "config", "user.name", "somebody");
    git(root, "config", "user.email", "somebody@example.org");
    commit(root, "release: 0.1.0");
    git(root, "tag", "--annotate", "0.1.0", "--message", "0.1.0");
    git(root, "tag", "not-a-version");
    body(root);
  });
}

function commit(root: string, subject: string): void {
  git(root, "add", "--all");
  git(root, "commit", "--quiet", "--allow-empty", "--message", subject);
}

describe("the commit of a release", () => {
  test("is named after the release, and found without its tag", () =>
    withRepository((root) => {
      const commit = git(root, "rev-parse", "HEAD");
      expect(nameCommit(root, "0.1.0")).toEqual({ version: "0.1.0", commit });
      git(root, "tag", "--delete", "0.1.0");
      expect(git(root, "rev-parse", "HEAD~1")).toBe(commit);
      expect(commitOf("0.1.0", root)).toBe(commit);
      expect(problemsOf(root, "0.1.0").join("\n")).toContain("0.1.0 was released already");
      expect(git(root, "status", "--porcelain")).toBe("");
    }));

  test("is an error that says how to get it, in a clone without it", () =>
    withRepository((root) => {
      nameCommit(root, "0.1.0");
      commit(root, "later");
      const clone = join(root, "clone");
      git(root, "clone", "--quiet", "--depth=1", `file://${root}`, clone);
      expect(() => commitOf("0.1.0", clone)).toThrow("git fetch --unshallow");
      expect(() => commitOf("0.9.0", clone)).toThrow("releases.json names the commit of 0.9.0");
    }));

  test("is known of each recorded release, except for the one that is just made", () => {
    const named = readReleases(projectRoot).map(({ version }) => version);
    const unnamed = recordedVersions().filter((version) => !named.includes(version));
    expect(unnamed.filter((version) => version !== packageJson.version)).toEqual([]);
  });
});

const refusalOf = (root: string, version: string): string => problemsOf(root, version).join("\n");

describe("a release", () => {
  test("notices untracked files that git is configured not to show", () =>
    withRepository((root) => {
      git(root, "config", "status.showUntrackedFiles", "no");
      writeFileSync(join(root, "notes.txt"), "mine");
      expect(refusalOf(root, "0.2.0")).toContain("notes.txt");
    }));

  test("that fails before its commit is undone", () =>
    withRepository((root) => {
      const before = git(root, "rev-parse", "HEAD");
      setVersion(root, "0.2.0");
      undoRelease(root, "0.2.0", before);
      expect([git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain")]).toEqual([before, ""]);
    }));

  test("that fails is undone, and edits of other people stay", () =>
    withRepository((root) => {
      const before = git(root, "rev-parse", "HEAD");
      setVersion(root, "0.2.0");
      const recorded = join(root, "test", "releases", "0.2.0");
      mkdirSync(recorded, { recursive: true });
      writeFileSync(join(recorded, "answers.json"), "[]");
      writeFileSync(join(root, "SECURITY.md"), "edited");
      writeFileSync(join(root, "notes.txt"), "mine");
      git(root, "add", "--", ...filesOf("0.2.0"));
      git(root, "commit", "--quiet", "--message", "release: 0.2.0");
      expect(git(root, "show", "--name-only", "--format=").split("\n").toSorted()).toEqual(
        [...Object.keys(namesVersion), "test/releases/0.2.0/answers.json"].toSorted(),
      );
      nameCommit(root, "0.2.0");
      undoRelease(root, "0.2.0", before);
      expect(git(root, "rev-parse", "HEAD")).toBe(before);
      expect(git(root, "status", "--porcelain")).toBe(" M SECURITY.md\n?? notes.txt");
      expect(readFileSync(join(root, "package.json"), "utf8")).toContain(`"version": "0.1.0"`);
      expect(existsSync(recorded)).toBe(false);
    }));

  test("can be made from a clean `main` with a higher version and notes", () =>
    withRepository((root) => {
      expect(problemsOf(root, "0.2.0")).toEqual([]);
      setVersion(root, "0.2.0");
      for (const [name, lines] of Object.entries(namesVersion))
        expect(readFileSync(join(root, name), "utf8")).toBe(lines("0.2.0"));
      expect(readFileSync(join(root, "CHANGELOG.md"), "utf8")).toBe(changelog);
      expect(notesOf(root, "0.2.0")).toBe("### Added\n\n- Something.");
    }));

  test("gets its notes from the section of what is unreleased, which begins again", () =>
    withRepository((root) => {
      const path = join(root, "CHANGELOG.md");
      writeFileSync(path, "# Changelog\n\n## [Unreleased]\n\n- New.\n\n## [0.1.0] - 2026-11-28\n\n- The first.\n");
      commit(root, "changelog: add a line");
      expect(problemsOf(root, "0.2.0")).toEqual([]);
      setVersion(root, "0.2.0");
      expect(notesOf(root, "0.2.0")).toBe("- New.");
      expect(readFileSync(path, "utf8")).toMatch(/^## \[Unreleased\]\n\n## \[0\.2\.0\] - \d{4}-\d\d-\d\d\n\n- New\.$/m);
      writeFileSync(path, readFileSync(path, "utf8").replace("[Unreleased]\n", "[Unreleased]\n\n- Forgotten.\n"));
      expect(refusalOf(root, "0.2.0")).toContain("CHANGELOG.md has changes in [Unreleased] beside those of 0.2.0");
    }));

  test("is not made by somebody whom git does not know", () =>
    withRepository((root) => {
      git(root, "config", "user.name", "");
      git(root, "config", "user.useConfigOnly", "true");
      expect(refusalOf(root, "0.2.0")).toBe(
        "git has no name and address for commits: set them (git config user.name, git config user.email)",
      );
    }));

  test("is not made from a tree with changes, which are named", () =>
    withRepository((root) => {
      mkdirSync(join(root, "src"));
      writeFileSync(join(root, "src", "new.ts"), "");
      expect(refusalOf(root, "0.2.0")).toContain("not committed");
      expect(refusalOf(root, "0.2.0")).toContain("src/");
    }));

  test("is not made from another branch", () =>
    withRepository((root) => {
      git(root, "switch", "--quiet", "--create", "topic");
      expect(refusalOf(root, "0.2.0")).toBe("the branch is `topic`: releases are made from `main` (git switch main)");
    }));

  test.each([
    ["0.1.0", "0.1.0 was released already"],
    ["0.0.9", "0.0.9 is not higher than the last release, 0.1.0"],
    ["0.1.0-rc.1", "0.1.0-rc.1 is not higher than the last release, 0.1.0"],
    ["0.4.0", "the section [Unreleased] in CHANGELOG.md is empty"],
    ["0.3.0", "the section [0.3.0] in CHANGELOG.md is empty"],
    ["v0.2.0", "`v0.2.0` is no version"],
    ["0.2", "`0.2` is no version"],
  ])("is not made with the version %s", (version, reason) =>
    withRepository((root) => expect(refusalOf(root, version)).toContain(reason)),
  );

  test("is compared with other versions as numbers, not as text", () =>
    withRepository((root) => {
      git(root, "tag", "0.10.0");
      expect(refusalOf(root, "0.2.0")).toContain("0.2.0 is not higher than the last release, 0.10.0");
    }));
});

describe("this tree", () => {
  test("names its version wherever a release writes it", async () => {
    await withDirectory(async (folder) => {
      for (const name of [...Object.keys(namesVersion), "CHANGELOG.md"])
        cpSync(join(projectRoot, name), join(folder, name), { recursive: true });
      setVersion(folder, packageJson.version);
      for (const name of Object.keys(namesVersion))
        expect(readFileSync(join(folder, name), "utf8")).toBe(readFileSync(join(projectRoot, name), "utf8"));
    });
  });

  test("has notes of its version", () => {
    expect(notesOf(projectRoot, packageJson.version)?.length).toBeGreaterThan(100);
  });

  test("names the format of the database in its changelog, so that no one downgrades over a new one by mistake", () => {
    const newest = /format of the database is (\d+)/.exec(readFileSync(join(projectRoot, "CHANGELOG.md"), "utf8"));
    expect(Number(newest?.[1])).toBe(schemaVersion);
  });

  test("has a changelog that can be read before an upgrade: short, and first what to do", () => {
    const [, ...sections] = readFileSync(join(projectRoot, "CHANGELOG.md"), "utf8").split(/^(?=## \[)/m);
    const later = sections.filter((section) => !section.startsWith("## [0.1.0]"));
    expect(later.length).toBeGreaterThan(0);
    for (const section of later) {
      const lines = section.trimEnd().split("\n");
      expect(lines.length).toBeLessThanOrEqual(80);
      expect(lines.filter((line) => line.length > 120)).toEqual([]);
      const [first] = lines.filter((line) => line.startsWith("### "));
      expect([undefined, "### What to do at the upgrade"]).toContain(first);
    }
  });

  test("says in its license, its package and its image that it is under Apache-2.0", () => {
    expect(packageJson.license).toBe("Apache-2.0");
    expect(readFileSync(join(projectRoot, "LICENSE"), "utf8")).toContain(
      "Apache License\n                           Version 2.0",
    );
    const recipe = readFileSync(join(projectRoot, "appliance", "Containerfile"), "utf8");
    expect(recipe).toContain('org.opencontainers.image.licenses="Apache-2.0"');
    expect(recipe).toContain('org.opencontainers.image.version="${VERSION}"');
  });

  test.each(["CHANGELOG.md", "SECURITY.md"])("has working links in %s", (name) => {
    const text = readFileSync(join(projectRoot, name), "utf8");
    const targets = [...text.matchAll(/\]\(([^)#]+)/g)].map(([, target]) => target ?? "");
    const inside = targets.filter((target) => !target.startsWith("https://"));
    expect(inside.length).toBeGreaterThan(0);
    for (const target of inside) expect(readFileSync(join(projectRoot, target), "utf8")).not.toBe("");
  });
});

test("the notes beside the downloads have no links into the source", () => {
  const notes = releaseNotes(
    "1.2.3",
    "- **[Threads](appliance/manual/performance.md#threads)**: see [`ostiary [FILE]`](a.md) and [there](https://example.com/a).",
  );
  expect(notes).toStartWith("# Ostiary 1.2.3\n\n");
  expect(notes).toEndWith("- **Threads**: see `ostiary [FILE]` and [there](https://example.com/a).\n");
  const whole = releaseNotes("0.2.0", notesOf(projectRoot, "Unreleased") ?? must(notesOf(projectRoot, "0.2.0")));
  expect(whole).not.toMatch(/\]\((?!https:)/);
});
