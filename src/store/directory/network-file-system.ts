/**
 * Refuses a node's database on a network file system. SQLite's write-ahead log needs memory that all of its processes
 * share, and locks that work: without them two nodes can write one database, and a reader sees torn pages
 * (https://sqlite.org/wal.html, https://sqlite.org/howtocorrupt.html).
 *
 * Only Linux reports the kind of a file system as a number that is the same everywhere, so other systems are not
 * checked.
 */
import { existsSync, readFileSync, realpathSync, statfsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { AppError } from "../../util/app-error.ts";

/** By the number that `statfs` reports (`man 2 statfs`, `linux/magic.h`). */
const networkFileSystems: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "SMB"],
  [0xfe534d42, "SMB"],
  [0x01021997, "9p"],
  [0x00c36400, "CephFS"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0xaad7aaea, "PanFS"],
  [0x786f4256, "a shared folder of VirtualBox"],
]);

const fuse = 0x65735546;

/**
 * The file systems behind FUSE that keep memory and locks in the kernel of this machine: a block device, a directory of
 * the host of a virtual machine, the root of a container without privileges. All others, such as `fuse.sshfs` and
 * `fuse.s3fs`, may be anything.
 */
const localFuseTypes: ReadonlySet<string | undefined> = new Set(["fuseblk", "virtiofs", "fuse.fuse-overlayfs"]);

/** How the system describes its file systems. */
interface FileSystems {
  /** The number of the kind of the file system that holds a path. */
  readonly typeOf: (path: string) => number;
  /** The list of mounts (`man 5 proc_pid_mountinfo`). */
  readonly mounts: () => string;
}

const systemFileSystems: FileSystems = {
  typeOf: (path) => statfsSync(path).type,
  mounts: () => readFileSync("/proc/self/mountinfo", "utf8"),
};

/** Throws an AppError `conflict` with reason and remedy if the directory, or the place for it, is on such a file system. */
export function requireLocalFileSystem(directory: string): void {
  const name = process.platform === "linux" ? networkFileSystemOf(existingPart(resolve(directory))) : undefined;
  if (name === undefined) return;
  throw new AppError(
    "conflict",
    `the data directory \`${directory}\` is on ${name}, where SQLite's shared memory and locks are not reliable, and the database would be damaged: name a directory on a local disk or a block device with \`--data\`; backups can stay there`,
  );
}

/** The network file system that holds an existing path; undefined for any other, or if the system does not tell. */
export function networkFileSystemOf(path: string, systems: FileSystems = systemFileSystems): string | undefined {
  try {
    // Some runtimes give the number as a negative one.
    const type = systems.typeOf(path) >>> 0;
    if (type !== fuse) return networkFileSystems.get(type);
    const name = mountTypeOf(realpathSync(path), systems.mounts());
    return localFuseTypes.has(name) ? undefined : `a FUSE file system (\`${name ?? "fuse"}\`)`;
  } catch {
    return undefined;
  }
}

/** The type of the mount that holds a path without symbolic links; undefined if the list has none. */
export function mountTypeOf(path: string, mounts: string): string | undefined {
  let found: { readonly point: string; readonly type: string | undefined } | undefined;
  for (const line of mounts.split("\n")) {
    const [place = "", mounted = ""] = line.split(" - ");
    const point = unescaped(place.split(" ")[4] ?? "");
    // A later mount at the same point hides the earlier one.
    if (isWithin(path, point) && point.length >= (found?.point.length ?? 0))
      found = { point, type: mounted.split(" ")[0] };
  }
  return found?.type;
}

function isWithin(path: string, folder: string): boolean {
  return folder !== "" && (path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`));
}

/** Spaces and some other characters are octal numbers in the list. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function existingPart(path: string): string {
  const above = dirname(path);
  return existsSync(path) || above === path ? path : existingPart(above);
}
