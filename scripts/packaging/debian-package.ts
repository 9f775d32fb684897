/**
 * Builds the Debian package: the program, its unit, user, configuration, manual page, completions and manual. It needs
 * `dpkg-deb` and no root. The same sources and commit give the same bytes.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { LicensedComponent } from "../../src/cli/licenses.ts";
import { projectRoot } from "../built-binary.ts";
import type { Architecture } from "../build-targets.ts";
import { debianChangelog, debianVersion } from "./debian-changelog.ts";
import { debianCopyright } from "./debian-copyright.ts";
import { packagedManual } from "./packaged-manual.ts";

/** Debian demands an address; there is none for all copies of this project. */
const maintainer = "Ostiary maintainers <ostiary@maintainers.invalid>";

export interface DebianPackageOptions {
  readonly architecture: Architecture;
  /** The program for that processor. */
  readonly binary: string;
  /** The same program for this machine: it prints its manual page and the rest. */
  readonly ownBinary: string;
  readonly version: string;
  /** When the commit was made, in seconds since 1970: the time of all files. */
  readonly commitSeconds: number;
  readonly output: string;
  /** Compress less, for tests. */
  readonly isFast?: boolean;
}

export const packageName = (version: string, architecture: Architecture): string =>
  `ostiary_${debianVersion(version)}_${architecture}.deb`;

/** Throws if this machine has no program that builds packages. */
export function requirePackageBuilder(): void {
  if (Bun.which("dpkg-deb") === null)
    throw new Error("dpkg-deb was not found: build the package on Debian, or install dpkg");
}

/** Throws an error with the messages of `dpkg-deb`. */
export async function buildDebianPackage(options: DebianPackageOptions): Promise<void> {
  requirePackageBuilder();
  const tree = mkdtempSync(join(tmpdir(), "ostiary-deb-"));
  try {
    fillTree(tree, options);
    writeControl(tree, options);
    mkdirSync(dirname(options.output), { recursive: true });
    const compression = options.isFast ? ["-Zgzip", "-z1"] : ["-Zxz", "-z6"];
    await $`dpkg-deb --root-owner-group ${compression} --build ${tree} ${options.output}`
      .env({ ...process.env, SOURCE_DATE_EPOCH: String(options.commitSeconds) })
      .quiet();
  } catch (error) {
    throw error instanceof $.ShellError ? new Error(`dpkg-deb: ${error.stderr.toString()}`) : error;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function fillTree(tree: string, { binary, ownBinary }: DebianPackageOptions): void {
  const appliance = join(projectRoot, "appliance");
  const printed = (...words: string[]): string => {
    const { success, stdout, stderr } = Bun.spawnSync([ownBinary, ...words]);
    if (!success) throw new Error(`ostiary ${words.join(" ")} failed: ${stderr.toString()}`);
    return stdout.toString();
  };
  const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
    chmodSync(target, mode);
  };
  const read = (...names: string[]): Buffer => readFileSync(join(appliance, ...names));
  const compressed = (text: string): Uint8Array => gzipSync(text, { level: 9 });

  chmodSync(tree, 0o755);
  put("usr/bin/ostiary", readFileSync(binary), 0o755);
  put("usr/lib/systemd/system/ostiary.service", packagedUnit(read("ostiary.service").toString()));
  put("usr/lib/sysusers.d/ostiary.conf", read("debian", "ostiary.sysusers"));
  // It can contain keys.
  put("etc/ostiary/ostiary.yaml", read("ostiary.yaml"), 0o640);
  put("usr/share/man/man1/ostiary.1.gz", compressed(printed("man")));
  put("usr/share/bash-completion/completions/ostiary", printed("completion", "bash"));
  put("usr/share/zsh/vendor-completions/_ostiary", printed("completion", "zsh"));
  put("usr/share/fish/vendor_completions.d/ostiary.fish", printed("completion", "fish"));
  put("usr/share/lintian/overrides/ostiary", read("debian", "lintian-overrides"));
  const documents = "usr/share/doc/ostiary";
  const components = JSON.parse(printed("licenses", "--json")) as readonly LicensedComponent[];
  put(`${documents}/copyright`, debianCopyright(components));
  const changelog = readFileSync(join(projectRoot, "CHANGELOG.md"), "utf8");
  put(`${documents}/changelog.gz`, compressed(debianChangelog(changelog, maintainer)));
  for (const [path, content] of packagedManual()) put(`${documents}/manual/${path}`, content);
  // Whatever umask this process has.
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) chmodSync(join(entry.parentPath, entry.name), 0o755);
}

/**
 * The unit with the paths of a package, and with a user that always exists: administrators can then run commands as this
 * user, and let it read files such as certificates.
 */
export function packagedUnit(unit: string): string {
  const replace = (text: string, pattern: RegExp, replacement: string): string => {
    if (!pattern.test(text)) throw new Error(`appliance/ostiary.service has no line as expected (${pattern.source})`);
    return text.replaceAll(pattern, replacement);
  };
  const header = "# Runs one node. Change it with `systemctl edit ostiary`: upgrades replace this file.\n\n";
  const withoutHeader = replace(unit, /^#[^]*?\n(?=\[Unit\])/g, header);
  const documented = replace(withoutHeader, /^(?=After=)/gm, "Documentation=man:ostiary(1)\n");
  const installed = replace(documented, /\/usr\/local\/bin\/ostiary/g, "/usr/bin/ostiary");
  return replace(installed, /^DynamicUser=yes$/gm, "User=ostiary\nGroup=ostiary");
}

function writeControl(tree: string, { architecture, version }: DebianPackageOptions): void {
  const control = join(tree, "DEBIAN");
  const files = readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(tree.length + 1))
    .toSorted();
  const kilobytes = files.reduce((sum, path) => sum + Math.ceil(statSync(join(tree, path)).size / 1024), 0);
  // The umask of this process changes the modes of what is created.
  mkdirSync(control);
  chmodSync(control, 0o755);
  const put = (name: string, text: string): void => {
    writeFileSync(join(control, name), text);
    chmodSync(join(control, name), 0o644);
  };
  put(
    "control",
    `Package: ostiary
Version: ${debianVersion(version)}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${kilobytes}
Depends: libc6 (>= 2.17), systemd | systemd-standalone-sysusers | systemd-sysusers
Section: net
Priority: optional
Description: self-hosted authorization service with Polar policies
 Ostiary answers whether an actor may perform an action on a resource, for
 applications that ask over HTTP. Rules are written in Polar, the language of
 Oso Cloud, whose HTTP API and clients work with it.
 .
 Each node has all data in a database of its own and answers alone. A primary
 takes writes, edges replicate it, and fallbacks answer when all else is down.
`,
  );
  put("conffiles", "/etc/ostiary/ostiary.yaml\n");
  const digest = (path: string): string =>
    createHash("md5")
      .update(readFileSync(join(tree, path)))
      .digest("hex");
  put("md5sums", files.map((path) => `${digest(path)}  ${path}\n`).join(""));
  for (const name of ["postinst", "prerm", "postrm"]) {
    cpSync(join(projectRoot, "appliance", "debian", name), join(control, name));
    chmodSync(join(control, name), 0o755);
  }
}
