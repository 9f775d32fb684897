/**
 * The data directory of a node. The database is `store-<n>.db` with the highest number. A verified snapshot that
 * replaces it gets the next number by one rename. So there is always a complete file, readers of the old one can
 * continue, and a `-wal` file is never used with another database. A replaced database stays until its successor is
 * verified. The latest one with another history, and the latest damaged one, stay under other names.
 */
import {
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { writeFileAtomically } from "../../runtime/atomic-file.ts";
import { type FileLock, lockFile } from "../../runtime/file-lock.ts";
import { AppError } from "../../util/app-error.ts";
import { readRegularFileSync } from "../../util/regular-file.ts";
import { describeStorageFailure, StorageError, storageFailureIn } from "../../util/storage-failure.ts";
import { openStore } from "../connection/open-store.ts";
import { firstEpoch } from "../log/epochs.ts";
import { databaseFiles, removeFiles } from "../snapshot/snapshot.ts";
import { requireLocalFileSystem } from "./network-file-system.ts";

/** The directory in a data directory that has those of hosted environments. */
export const environmentsName = "environments";
/** A file in the directory of a hosted environment: when it was created, in ms since 1970. */
export const createdName = "created";
/**
 * A file in a directory that `ostiary restore` has filled. The node removes it when the list of environments has what was
 * restored.
 */
export const restoredName = "restored";
/** Its text until the first start of the node. */
export const restoringText = "restoring";

const storeName = /^store-(\d+)\.db$/;

export interface DataDirectory {
  readonly path: string;
  /**
   * Takes the lock again if the file that had it was deleted, moved or replaced. Throws a StorageError if the directory
   * does not exist, or an AppError as `lockDirectory` does.
   */
  readonly keepLock: () => void;
  /** Releases the lock of the directory. */
  readonly unlock: () => void;
}

/** The same as `lockDirectory`, for a node: see `requireNodeDirectory`. */
export function lockNodeDirectory(path: string): DataDirectory {
  requireLocalFileSystem(path);
  return lockDirectory(path);
}

/**
 * The same as `requireWritable`, for a node. Throws an AppError `conflict`, and creates nothing, for a directory on a
 * network file system. There, commands may write a database that no process uses, such as a restored one.
 */
export function requireNodeDirectory(path: string): void {
  requireLocalFileSystem(path);
  requireWritable(path);
}

/** Creates a missing directory, and locks it against other processes until `unlock` or the end of this process. */
export function lockDirectory(path: string): DataDirectory {
  requireWritable(path);
  keepSpareDescriptor();
  const file = join(path, "lock");
  /** By device and inode. Earlier ones stay, since their directory may have been moved, and may come back. */
  const locks = new Map<string, FileLock>();
  const identity = (): string | undefined => {
    const found = statSync(file, { throwIfNoEntry: false });
    return found && `${found.dev}:${found.ino}`;
  };
  const keepLock = (): void => {
    if (locks.has(identity() ?? "")) return;
    if (!existsSync(path)) throw new StorageError("STORE_REPLACED", `\`${path}\` does not exist`);
    const lock = takeLock(file);
    locks.set(identity() ?? "", lock);
  };
  keepLock();
  return { path, keepLock, unlock: () => locks.forEach((lock) => lock.release()) };
}

/** About the size of the files that SQLite creates when it opens a database. */
const probeBytes = 128 * 1024;

/** Creates the directory and writes a file in it. Throws an AppError that names the problem. */
export function requireWritable(path: string): void {
  const probe = join(path, `write-probe-${process.pid}`);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    writeFileSync(probe, new Uint8Array(probeBytes), { mode: 0o600, flush: true });
    rmSync(probe);
  } catch (error) {
    tryRemove(probe);
    throw unusableError(path, error);
  }
}

function tryRemove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The file was not created either.
  }
}

function unusableError(path: string, error: unknown): unknown {
  const failure = storageFailureIn(error);
  if (failure !== undefined) {
    const users = failure.reason === "permission" ? describeUsers(path) : "";
    return new AppError(
      "internal",
      `the data directory cannot be used: ${describeStorageFailure(failure, path)}${users}`,
      { cause: error },
    );
  }
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const problem =
    code === "EEXIST" || code === "ENOTDIR"
      ? `the data directory cannot be used: \`${path}\`, or a part of that path, is a file: name a directory with \`--data\``
      : `the data directory \`${path}\` cannot be created (${code}): name another one with \`--data\``;
  return new AppError("conflict", problem, { cause: error });
}

/** The user of this process and the owner of the directory: in a container neither needs to have a name. */
function describeUsers(path: string): string {
  const user = process.getuid?.();
  const group = process.getgid?.();
  if (user === undefined || group === undefined) return "";
  return `; this process has user ${user} and group ${group}${describeOwner(path)}: \`chown -R ${user}:${group}\` changes the owner, and so does \`fsGroup\` of a pod in Kubernetes`;
}

/** Empty if the directory does not exist, or is in one that this process may not open. */
function describeOwner(path: string): string {
  try {
    const { uid, gid } = statSync(path);
    return `, and the directory belongs to user ${uid} and group ${gid}`;
  } catch {
    return "";
  }
}

function takeLock(path: string): FileLock {
  try {
    return lockFile(path);
  } catch (error) {
    if (storageFailureIn(error) !== undefined) throw unusableError(path, error);
    const message = `another process is using the data directory (\`${path}\` is locked); stop it first`;
    throw new AppError("conflict", message, { cause: error });
  }
}

/** The path of the current database; undefined if there is none. */
export function currentStorePath(directory: string): string | undefined {
  return storePathsIn(directory)[0];
}

/** The path of the next database. */
export function nextStorePath(directory: string): string {
  return storePath(directory, (storeNumbers(directory)[0] ?? 0) + 1);
}

/** The paths of all databases, the current one first. The others were replaced. */
export function storePathsIn(directory: string): string[] {
  return storeNumbers(directory).map((number) => storePath(directory, number));
}

/** The numbers of all databases, the highest first. */
function storeNumbers(directory: string): number[] {
  const numbers = readdirSync(directory).flatMap((name) => {
    const match = storeName.exec(name);
    return match === null ? [] : [Number(match[1])];
  });
  return numbers.toSorted((left, right) => right - left);
}

function storePath(directory: string, number: number): string {
  return join(directory, `store-${number}.db`);
}

/**
 * Removes the databases that the current one has replaced, except those at `usedPaths`. Until the current one is verified
 * (`isProven`), the oldest one stays, because it was verified. Renames one with another history, and returns its path.
 */
export function removeReplacedStores(
  directory: string,
  isProven: boolean,
  usedPaths: readonly string[] = [],
): string | undefined {
  const [present, ...others] = storePathsIn(directory);
  const replaced = others.filter((path) => !usedPaths.includes(path));
  if (present === undefined || replaced.length === 0) return undefined;
  const history = historyOf(present);
  const foreign = replaced.find((path) => ![history, undefined].includes(historyOf(path)));
  const previous = join(directory, previousName);
  if (foreign !== undefined) renameStore(foreign, previous);
  const own = replaced.filter((path) => path !== foreign);
  for (const path of isProven ? own : own.slice(0, -1)) removeFiles(databaseFiles(path));
  limitOldFiles(directory, usedPaths);
  return foreign === undefined ? undefined : previous;
}

/** The first epoch of the history of a database. Undefined if it cannot be read. */
export function historyOf(path: string): string | undefined {
  try {
    const store = openStore(path, { readonly: true });
    try {
      return firstEpoch(store).epoch;
    } finally {
      store.close();
    }
  } catch {
    return undefined;
  }
}

const previousName = "previous-history.db";
const damagedName = /^store-\d+\.db\.damaged(?:-\w+)?$/;

/** Renames a damaged database, so that an operator can examine it, and removes the one before. Returns its new path. */
export function quarantineStore(path: string): string {
  const directory = dirname(path);
  removeFiles(damagedIn(directory));
  const quarantined = `${path}.damaged`;
  renameStore(path, quarantined);
  limitOldFiles(directory);
  return quarantined;
}

/** Renames a database with its other files: the write-ahead log may have commits that are not in the database yet. */
function renameStore(path: string, target: string): void {
  removeFiles(databaseFiles(target));
  for (const file of databaseFiles(path)) if (existsSync(file)) renameSync(file, target + file.slice(path.length));
}

function damagedIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => damagedName.test(name))
    .map((name) => join(directory, name));
}

/** Keeps at most two databases besides the current one. The damaged one is the least useful. */
function limitOldFiles(directory: string, usedPaths: readonly string[] = []): void {
  const [, ...replaced] = storePathsIn(directory).filter((path) => !usedPaths.includes(path));
  const others = replaced.length + (existsSync(join(directory, previousName)) ? 1 : 0);
  if (others >= 2) removeFiles(damagedIn(directory));
}

/** More than the largest of them, the last uses of 100,000 API keys. */
const nodeFileBytesMax = 16 * 1024 * 1024;

/** Reads a small file of this node, such as its id. An empty file, which a power cut may leave, counts as missing. */
export function readNodeFile(directory: string, name: string): string | undefined {
  try {
    const path = join(directory, name);
    return withSpareDescriptor(() => readRegularFileSync(path, nodeFileBytesMax).bytes.toString()) || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** When the hosted environment of the directory was created, in ms since 1970; undefined for the default one. */
export function createdMsOf(directory: string): number | undefined {
  const created = readNodeFile(directory, createdName);
  return created === undefined ? undefined : Number(created);
}

/** Writes a small file atomically. With `wait: false` a power cut may restore the previous file, or leave none. */
export function writeNodeFile(directory: string, name: string, text: string, options: { wait?: boolean } = {}): void {
  withSpareDescriptor(() => writeFileAtomically(join(directory, name), text, options.wait ?? true));
}

/** For small files when no other descriptor is left: they record a node's votes and its position. */
let spareDescriptor: number | undefined;

function keepSpareDescriptor(): void {
  try {
    spareDescriptor ??= openSync("/dev/null", "r");
  } catch {
    // There is none left now. The next small file tries again.
  }
}

function withSpareDescriptor<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EMFILE" || spareDescriptor === undefined) throw error;
    closeSync(spareDescriptor);
    spareDescriptor = undefined;
    try {
      return body();
    } finally {
      keepSpareDescriptor();
    }
  }
}

/** A command that the superuser runs leaves a small file to the user of the node. */
export function giveToOwner(directory: string, name: string): void {
  const { uid, gid } = statSync(directory);
  const path = join(directory, name);
  if (process.getuid?.() === 0 && existsSync(path)) chownSync(path, uid, gid);
}

export function removeNodeFile(directory: string, name: string): void {
  rmSync(join(directory, name), { force: true });
}

/**
 * The directory and all files in it that other users may open; older versions or other programs created them so. Empty
 * if there is no such directory. `user` is that of this process.
 */
export function pathsOpenToOthers(directory: string, user = process.getuid?.()): string[] {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  if (found?.isDirectory() !== true) return [];
  const inside = readdirSync(directory, { recursive: true, encoding: "utf8" }).map((name) => join(directory, name));
  return [directory, ...inside].filter((path) => {
    const entry = lstatSync(path, { throwIfNoEntry: false });
    return entry !== undefined && !entry.isSymbolicLink() && isOpenToOthers(entry, user);
  });
}

/**
 * Whether users other than the owner have permissions. The group of the superuser is no other user: images give it the
 * directory for users that are chosen at the start. The root of a mounted volume belongs to the superuser or a group of
 * its own, which this process cannot change; there only the permission of all others to write is too much.
 */
function isOpenToOthers({ mode, uid, gid }: Stats, user: number | undefined): boolean {
  if (user !== undefined && user !== 0 && uid !== user) return (mode & 0o002) !== 0;
  return (mode & (gid === 0 ? 0o007 : 0o077)) !== 0;
}
