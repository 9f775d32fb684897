/**
 * The backups in a directory, which a schedule fills with `ostiary backup`, and in the directories of `ostiary backup --all` in it. Only their headers are read, so a listing says
 * what they cover, and not whether their content is whole.
 */
import { lstat, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { decodeHeader, snapshotHeaderBytesMax, type SnapshotManifest } from "../../store/snapshot/snapshot-header.ts";
import { type Authenticity, authenticityOf } from "../../store/snapshot/snapshot-mac.ts";
import { AppError } from "../../util/app-error.ts";
import { fileProblem } from "../../util/reason.ts";

export interface StoredBackup {
  /** The name of the file, or its path in the directory. */
  readonly name: string;
  readonly bytes: number;
  readonly manifest: SnapshotManifest;
  /** `wrong`: it was changed, or made with another node key. */
  readonly authenticity: Authenticity | "wrong";
}

export interface StoredBackups {
  /** The newest first. */
  readonly backups: readonly StoredBackup[];
  /** Whether the directory has more files than are examined. */
  readonly isCut: boolean;
}

interface ListOptions {
  readonly directory: string;
  /** Undefined for all environments. */
  readonly environment: string | undefined;
  /** For the MAC. */
  readonly nodeKeyHashes: NodeKeyHashes | undefined;
}

/** The end of the name of a directory of `ostiary backup --all` that is not complete. */
export const unfinishedSuffix = ".unfinished";

const filesMax = 500;
const openFilesMax = 8;

/** The backups of the environment, or of all. AppError `conflict` if the directory cannot be read. */
export async function listStoredBackups({
  directory,
  environment,
  nodeKeyHashes,
}: ListOptions): Promise<StoredBackups> {
  const names = await fileNames(directory, environment);
  // Names with a date sort by it. Many files of other environments must not hide those of this one.
  const mayBeOf = (name: string): boolean => environment !== undefined && name.includes(environment);
  const ordered = names.toSorted(
    (one, other) => Number(mayBeOf(one)) - Number(mayBeOf(other)) || (one < other ? -1 : 1),
  );
  const examined = ordered.slice(-filesMax);
  const backups: StoredBackup[] = [];
  const waiting = [...examined];
  const examine = async (): Promise<void> => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const found = await readBackup(directory, name, nodeKeyHashes);
      if (
        found?.manifest.kind === "backup" &&
        (environment ?? found.manifest.environment) === found.manifest.environment
      )
        backups.push(found);
    }
  };
  await Promise.all(Array.from({ length: openFilesMax }, examine));
  backups.sort((one, other) => other.manifest.madeMs - one.manifest.madeMs || (one.name < other.name ? -1 : 1));
  return { backups, isCut: names.length > examined.length };
}

/** The paths of regular files. In a directory of all environments, the one of `environment` has its name. */
async function fileNames(directory: string, environment: string | undefined): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.endsWith(unfinishedSuffix));
    const inside = await Promise.all(
      folders
        .map(({ name }) => name)
        .toSorted()
        .slice(-filesMax)
        .map((folder) => namesIn(directory, folder, environment)),
    );
    return [...files, ...inside.flat()];
  } catch (error) {
    throw new AppError(
      "conflict",
      `the directory of \`backupDirectory\` cannot be read: ${fileProblem(error)}; correct the setting or the directory`,
    );
  }
}

async function namesIn(directory: string, folder: string, environment: string | undefined): Promise<string[]> {
  const wanted = environment === undefined ? undefined : join(folder, `${environment}.backup`);
  try {
    if (wanted !== undefined) return (await lstat(join(directory, wanted))).isFile() ? [wanted] : [];
    const entries = await readdir(join(directory, folder), { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => join(folder, name));
  } catch {
    // It has no backup of the environment, is of another program, or has just been removed.
    return [];
  }
}

/** Undefined if the file is no backup or snapshot, or cannot be read. */
async function readBackup(
  directory: string,
  name: string,
  nodeKeyHashes: NodeKeyHashes | undefined,
): Promise<StoredBackup | undefined> {
  try {
    await using file = await open(join(directory, name), "r");
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.min(size, snapshotHeaderBytesMax));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const header = decodeHeader(bytes.subarray(0, bytesRead));
    if (header === undefined) return undefined;
    return { name, bytes: size, manifest: header.manifest, authenticity: authenticityIn(header.signed, nodeKeyHashes) };
  } catch {
    // Another program's file, one that is being written, or one that has just been removed.
    return undefined;
  }
}

function authenticityIn(...[signed, nodeKeyHashes]: Parameters<typeof authenticityOf>): StoredBackup["authenticity"] {
  try {
    return authenticityOf(signed, nodeKeyHashes);
  } catch {
    return "wrong";
  }
}
