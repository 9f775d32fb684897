/** The Debian package and the offline bundle of this tree, built once for all test files. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { builtBinary } from "../../scripts/built-binary.ts";
import { buildPackages, type PackagedFiles } from "../../scripts/package.ts";
import { findProgram } from "../e2e/program.ts";

/** Why this machine cannot build them; undefined if it can. */
export const missingForPackages = ["dpkg-deb", "buildah"]
  .filter((program) => findProgram(program) === null)
  .map((program) => `${program} is not installed`)
  .at(0);

let built: Promise<Required<PackagedFiles>> | undefined;

export function builtPackages(): Promise<Required<PackagedFiles>> {
  built ??= build();
  return built;
}

async function build(): Promise<Required<PackagedFiles>> {
  const output = mkdtempSync(join(tmpdir(), "ostiary-packages-"));
  process.once("exit", () => rmSync(output, { recursive: true, force: true }));
  const binary = await builtBinary();
  const { debianPackage, bundle } = await buildPackages({
    architecture: ownArchitecture,
    withBundle: true,
    output,
    binary,
    isFast: true,
  });
  if (bundle === undefined) throw new Error("there is no bundle");
  return { debianPackage, bundle };
}
