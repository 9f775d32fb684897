/** The Debian package and the offline bundle of this tree, built once for all test files. */
import { $ } from "bun";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { buildPackages, type PackagedFiles } from "../../scripts/package.ts";
import { must } from "../../src/util/assert.ts";
import { requirePrograms } from "../e2e/program.ts";

let debianPackage: Promise<string> | undefined;
let built: Promise<Required<PackagedFiles>> | undefined;

/** Without the bundle, for which an image is built. */
export function builtDebianPackage(): Promise<string> {
  requirePrograms("dpkg-deb");
  debianPackage ??= build(false).then((files) => files.debianPackage);
  return debianPackage;
}

export function builtPackages(): Promise<Required<PackagedFiles>> {
  requirePrograms("dpkg-deb", "buildah");
  built ??= build(true).then(({ debianPackage, bundle }) => ({
    debianPackage,
    bundle: must(bundle, "the bundle was built"),
  }));
  return built;
}

async function build(withBundle: boolean): Promise<PackagedFiles> {
  // The next run replaces them: together they have 300 MB.
  const output = join(projectRoot, "dist", "packages-of-tests");
  const binary = await builtBinary();
  return buildPackages({ architecture: ownArchitecture, withBundle, output, binary, isFast: true });
}

/** The files of the repository below some folders, without the code that makes packages of them. */
export async function trackedFiles(...folders: readonly string[]): Promise<readonly string[]> {
  return (await $`git ls-files ${folders}`.cwd(projectRoot).text()).trim().split("\n");
}

/** The same package with a higher version and another configuration. */
export async function makeNext(original: string, target: string, version: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-next-"));
  try {
    await $`dpkg-deb --raw-extract ${original} ${folder}`.quiet();
    const control = join(folder, "DEBIAN", "control");
    writeFileSync(control, readFileSync(control, "utf8").replace(/^Version: .*$/m, `Version: ${version}`));
    appendFileSync(join(folder, "etc", "ostiary", "ostiary.yaml"), "# a new comment\n");
    await $`dpkg-deb --root-owner-group -Zgzip -z1 --build ${folder} ${target}`.quiet();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
