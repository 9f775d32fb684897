/**
 * The root file system of an image `FROM scratch` as one tar archive: programs of this machine, their libraries,
 * files, and folders of other users than root. It is an archive because `ADD` keeps owners and modes, while
 * `COPY` needs files with these owners, which requires root. The same input gives the same bytes.
 */
import { $ } from "bun";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface RootContents {
  /** The path on this machine, by the path inside. */
  readonly programs: Readonly<Record<string, string>>;
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
  { programs, files, folders, trees = {} }: RootContents,
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "ostiary-root-"));
  try {
    for (const [inside, outside] of Object.entries(programs)) {
      copy(outside, join(root, inside));
      for (const library of await librariesOf(outside)) copy(library, join(root, library));
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

/** The dynamic loader and the libraries of this machine; inside they have the same paths. */
async function librariesOf(program: string): Promise<string[]> {
  const listing = await $`ldd ${program}`.text();
  return [...listing.matchAll(/(\/\S+) \(0x/g)].flatMap((match) => match[1] ?? []);
}

function copy(source: string, target: string): void {
  if (existsSync(target)) return;
  mkdirSync(dirname(target), { recursive: true });
  cpSync(source, target, { dereference: true });
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
