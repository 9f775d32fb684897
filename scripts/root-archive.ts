/**
 * The root file system of an image `FROM scratch` as one tar archive: programs of this machine, their libraries,
 * files, and folders of other users than root. It is an archive because `ADD` keeps owners and modes, while
 * `COPY` needs files with these owners, which requires root. The same input gives the same bytes.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Architecture, ownArchitecture } from "./build-targets.ts";

export interface RootContents {
  /** The path on this machine, by the path inside. */
  readonly programs: Readonly<Record<string, string>>;
  /** Files of this machine, by the path inside; by default the libraries of the programs. */
  readonly libraries?: Readonly<Record<string, string>>;
  /** The text, by the path inside. */
  readonly files: Readonly<Record<string, string>>;
  /**
   * Empty folders, with the numeric user that owns them. Their group is 0 and may write too: platforms that choose the
   * user of a container at its start give it this group.
   */
  readonly folders: Readonly<Record<string, number>>;
  /** The path of a folder on this machine with all its files, by the path inside. */
  readonly trees?: Readonly<Record<string, string>>;
}

export async function writeRootArchive(
  tar: string,
  { programs, libraries, files, folders, trees = {} }: RootContents,
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "ostiary-root-"));
  try {
    for (const [inside, outside] of Object.entries(programs)) {
      copy(outside, join(root, inside));
      const needed = libraries ?? (await librariesOf(ownArchitecture, outside));
      for (const [library, source] of Object.entries(needed)) copy(source, join(root, library));
    }
    for (const [inside, outside] of Object.entries(trees))
      cpSync(outside, join(root, inside), { recursive: true, dereference: true });
    for (const [inside, text] of Object.entries(files)) write(join(root, inside), text);
    await $`tar ${same} --owner=0 --group=0 --mode=u=rwX,go=rX -cf ${tar} -C ${root} .`.quiet();
    rmSync(root, { recursive: true });
    for (const [inside, user] of Object.entries(folders)) {
      mkdirSync(join(root, inside), { recursive: true });
      await $`tar ${same} --owner=${user} --group=0 --mode=0770 -rf ${tar} -C ${root} .${inside}`.quiet();
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Fixed times and order. */
const same = ["--format=gnu", "--numeric-owner", "--sort=name", "--mtime=@0"];

/**
 * The dynamic loader and the libraries of a program: the path on this machine by the path inside, which is the same for a
 * program of this machine. For another processor they are those of Debian's cross compilers, and its loader, run by
 * qemu-user, lists them.
 */
export async function librariesOf(
  architecture: Architecture,
  program: string,
): Promise<Readonly<Record<string, string>>> {
  const missing = missingLibraries(architecture);
  if (missing !== undefined) throw new Error(missing);
  const isOwn = architecture === ownArchitecture;
  const prefix = isOwn ? "" : foreignRoot(architecture);
  const listing = isOwn
    ? await $`ldd ${program}`.text()
    : await $`${emulatorOf(architecture)} -L ${prefix} -E LD_TRACE_LOADED_OBJECTS=1 ${program}`.text();
  const paths = [...listing.matchAll(/(\/\S+) \(0x/g)].flatMap((match) => match[1] ?? []);
  return Object.fromEntries(paths.map((path) => [path, `${prefix}${path}`]));
}

/** What this machine lacks to find the libraries of a program for that processor; undefined if nothing. */
export function missingLibraries(architecture: Architecture): string | undefined {
  if (architecture === ownArchitecture) return undefined;
  if (existsSync(foreignRoot(architecture)) && Bun.which(emulatorOf(architecture)) !== null) return undefined;
  return `the image for ${architecture} needs a C library and an emulator: install them (Debian: apt-get install qemu-user libc6-${architecture}-cross)`;
}

/** Where Debian's cross compilers have their C library. */
export const foreignRoot = (architecture: Architecture): string => `/usr/${gnuName[architecture]}-linux-gnu`;

export const emulatorOf = (architecture: Architecture): string => `qemu-${gnuName[architecture]}`;

const gnuName: Readonly<Record<Architecture, string>> = { amd64: "x86_64", arm64: "aarch64" };

function copy(source: string, target: string): void {
  if (existsSync(target)) return;
  mkdirSync(dirname(target), { recursive: true });
  cpSync(source, target, { dereference: true });
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Where Debian says who owns the C library, and under which license it is. */
export function copyrightOfLibraries(architecture: Architecture): Readonly<Record<string, string>> {
  const debian = architecture === ownArchitecture ? "libc6" : `libc6-${architecture}-cross`;
  const path = `/usr/share/doc/${debian}/copyright`;
  return existsSync(path) ? { "/usr/share/doc/libc6/copyright": readFileSync(path, "utf8") } : {};
}
