/**
 * Builds the offline bundle: one archive with everything that a machine without a network needs, and a script that
 * installs it. The same files and commit give the same bytes.
 */
import { $ } from "bun";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { projectRoot } from "../built-binary.ts";
import type { Architecture } from "../build-targets.ts";
import { packagedManual, withPackagedLinks } from "./packaged-manual.ts";

export interface BundleOptions {
  readonly architecture: Architecture;
  readonly version: string;
  /** When the commit was made, in seconds since 1970: the time of all files. */
  readonly commitSeconds: number;
  /** The program, its Debian package, its image for `docker load`, and its software bill of materials. */
  readonly binary: string;
  readonly debianPackage: string;
  readonly image: string;
  readonly sbom: string;
  /** The texts of all licenses, as `ostiary licenses` prints them. */
  readonly licenses: string;
  readonly output: string;
  /** Compress less, for tests. */
  readonly isFast?: boolean;
}

export const bundleName = (version: string, architecture: Architecture): string =>
  `ostiary-${version}-offline-${architecture}`;

export async function buildBundle(options: BundleOptions): Promise<void> {
  const { architecture, version, commitSeconds, output, isFast } = options;
  const work = mkdtempSync(join(tmpdir(), "ostiary-bundle-"));
  try {
    const name = bundleName(version, architecture);
    fill(join(work, name), options);
    mkdirSync(dirname(output), { recursive: true });
    const same = [
      "--format=gnu",
      "--sort=name",
      "--owner=0",
      "--group=0",
      "--numeric-owner",
      `--mtime=@${commitSeconds}`,
    ];
    await $`tar ${same} --mode=u=rwX,go=rX -C ${work} -cf - ${name} | gzip -n ${isFast ? "-1" : "-9"} > ${output}`.quiet();
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function fill(folder: string, options: BundleOptions): void {
  mkdirSync(folder);
  const appliance = (name: string): string => join(projectRoot, "appliance", name);
  const copies: readonly (readonly [from: string, to: string])[] = [
    [appliance("offline/install"), "install"],
    [appliance("ostiary.service"), "ostiary.service"],
    [appliance("ostiary.yaml"), "ostiary.yaml"],
    ...["kubernetes", "observability"].map((name) => [appliance(name), name] as const),
    [join(projectRoot, "compose"), "compose"],
    [join(projectRoot, "LICENSE"), "LICENSE"],
    [options.binary, "ostiary"],
    [options.debianPackage, basename(options.debianPackage)],
    [options.image, "ostiary-image.tar"],
    [options.sbom, "ostiary.cdx.json"],
  ];
  for (const [from, to] of copies) cpSync(from, join(folder, to), { recursive: true });
  const changelog = readFileSync(join(projectRoot, "CHANGELOG.md"), "utf8");
  writeFileSync(join(folder, "CHANGELOG.md"), withPackagedLinks(changelog, "CHANGELOG.md", "manual/"));
  for (const [path, content] of packagedManual()) {
    const target = join(folder, "manual", path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
  }
  writeFileSync(join(folder, "VERSION"), `${options.version}\n`);
  writeFileSync(join(folder, "ARCHITECTURE"), `${options.architecture}\n`);
  writeFileSync(join(folder, "LICENSES.txt"), options.licenses);
  for (const name of ["install", "ostiary"]) chmodSync(join(folder, name), 0o755);
  writeFileSync(join(folder, "SHA256SUMS"), sumsOf(folder));
}

/** As `sha256sum` prints them, for all files below a folder. */
function sumsOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
  const sum = (path: string): string =>
    createHash("sha256")
      .update(readFileSync(join(folder, path)))
      .digest("hex");
  return files.map((path) => `${sum(path)}  ${path}\n`).join("");
}
