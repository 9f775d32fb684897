/**
 * Builds the Debian package of one processor, and with `--bundle` the offline bundle around it: `dist/ostiary_….deb` and
 * `dist/ostiary-…-offline-….tar.gz`.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { licensesText, type LicensedComponent } from "../src/cli/licenses.ts";
import { architectures, ownArchitecture, targetOf, type Architecture } from "./build-targets.ts";
import { binaryFor, builtBinary, projectRoot, projectVersion, requirePresentBinary } from "./built-binary.ts";
import { buildImageArchive, requireImageBuilder } from "./image.ts";
import { licensesPath } from "./licenses/collect.ts";
import { buildDebianPackage, packageName, requirePackageBuilder } from "./packaging/debian-package.ts";
import { buildBundle, bundleName } from "./packaging/offline-bundle.ts";
import { git } from "./release-checks.ts";
import { sbomOf } from "./sbom.ts";

const usage = `scripts/package [--arch NAME] [--bundle]

  --arch NAME   ${architectures.join(" or ")}: the processor (this machine's: ${ownArchitecture})
  --bundle      build the offline bundle as well; it needs what scripts/image needs
  --help        show this

It leaves in dist/:
  ostiary_<version>_<arch>.deb               the Debian package
  ostiary-<version>-offline-<arch>.tar.gz    the bundle: the package, the image, the program, the manual, and a script that installs them`;

export interface PackagedFiles {
  readonly debianPackage: string;
  /** Undefined if it was not built. */
  readonly bundle?: string;
}

export interface PackagingOptions {
  readonly architecture: Architecture;
  readonly withBundle: boolean;
  /** The folder for the results. */
  readonly output: string;
  /** The program for the processor; by default it is built. */
  readonly binary?: string;
  readonly isFast?: boolean;
}

export async function buildPackages(options: PackagingOptions): Promise<PackagedFiles> {
  const { architecture, withBundle, output, isFast = false } = options;
  const version = projectVersion();
  const commitSeconds = Number(git(projectRoot, "log", "-1", "--format=%ct"));
  const ownBinary = await builtBinary();
  const binary = options.binary ?? (await binaryFor(architecture));
  const debianPackage = join(output, packageName(version, architecture));
  const common = { architecture, version, commitSeconds, binary, isFast };
  await buildDebianPackage({ ...common, ownBinary, output: debianPackage });
  if (!withBundle) return { debianPackage };

  const bundle = join(output, `${bundleName(version, architecture)}.tar.gz`);
  const image = await buildImageArchive(architecture, binary);
  const components = JSON.parse(readFileSync(licensesPath, "utf8")) as readonly LicensedComponent[];
  const sbom = join(projectRoot, "dist", `${basename(debianPackage, ".deb")}.cdx.json`);
  writeFileSync(sbom, sbomOfFile(binary, `ostiary-${version}-${targetOf[architecture]}`));
  await buildBundle({ ...common, debianPackage, image, sbom, licenses: licensesText(components), output: bundle });
  return { debianPackage, bundle };
}

/** The bill of materials of a program that was built last in this tree, under the name that its file has in a release. */
export function sbomOfFile(path: string, file: string): string {
  return sbomOf({
    components: JSON.parse(readFileSync(licensesPath, "utf8")) as readonly LicensedComponent[],
    file,
    sha256: createHash("sha256").update(readFileSync(path)).digest("hex"),
    commit: git(projectRoot, "rev-parse", "HEAD"),
    commitSeconds: Number(git(projectRoot, "log", "-1", "--format=%ct")),
  });
}

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        arch: { type: "string", default: ownArchitecture },
        bundle: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  const architecture = architectures.find((name) => name === values.arch);
  if (values.help || architecture === undefined) {
    (values.help ? console.log : console.error)(usage);
    return values.help ? 0 : 2;
  }
  try {
    const output = join(projectRoot, "dist");
    requirePackageBuilder();
    if (values.bundle) await requireImageBuilder();
    await requirePresentBinary();
    console.error(`compressing dist/${packageName(projectVersion(), architecture)}, which takes two minutes`);
    const { debianPackage, bundle } = await buildPackages({ architecture, withBundle: values.bundle, output });
    for (const path of [debianPackage, bundle].flatMap((each) => each ?? []))
      console.log(`dist/${basename(path)}: ${(statSync(path).size / 1e6).toFixed(1)} MB`);
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await main();
