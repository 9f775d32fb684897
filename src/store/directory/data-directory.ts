/**
 * A node's data directory. The database is `store-<n>.db`; a snapshot that replaces it arrives as the next number, complete and checked, by one
 * rename. So there is no moment without a whole file, readers of the old one are not disturbed, and no `-wal` of the one can ever be taken for
 * the other's. The highest number counts. The one that was replaced stays until its successor is proven; one of another history, and one that is
 * damaged, stay under other names, only the latest of each.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { writeFileAtomically } from "../../runtime/atomic-file.ts";
import { openSqlite, type SqliteDatabase } from "../../runtime/sqlite.ts";
import { AppError } from "../../util/app-error.ts";
import { describeStorageFailure, storageFailureIn } from "../../util/storage-failure.ts";
import { openStore } from "../connection/open-store.ts";
import { firstEpoch } from "../log/epochs.ts";
import { databaseFiles, removeFiles } from "../snapshot/snapshot.ts";

const storeName = /^store-(\d+)\.db$/;

export interface DataDirectory {
  readonly path: string;
  /** Lets another process have it. */
  unlock(): void;
}

/** Makes the directory where it is missing, and keeps every other process out of it until `unlock` or the end of this one. */
export function lockDirectory(path: string): DataDirectory {
  requireWritable(path);
  keepSpareDescriptor();
  const lock = takeLock(join(path, "lock"));
  return { path, unlock: () => lock.close() };
}

/** About what the files that SQLite needs beside a database take when it is opened. */
const probeBytes = 128 * 1024;

/** Makes the directory, and writes something in it: what is wrong with it is better said here than by whatever comes to need it. AppError names it. */
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
    // It could not be made either.
  }
}

function unusableError(path: string, error: unknown): unknown {
  const failure = storageFailureIn(error);
  if (failure !== undefined)
    return new AppError("internal", `the data directory cannot be used: ${describeStorageFailure(failure, path)}`, {
      cause: error,
    });
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  if (code !== "EEXIST" && code !== "ENOTDIR")
    return new AppError(
      "conflict",
      `the data directory \`${path}\` cannot be made (${code}): name another with \`--data\``,
      { cause: error },
    );
  return new AppError(
    "conflict",
    `the data directory cannot be used: \`${path}\`, or a part of that path, is a file: name a directory with \`--data\``,
    {
      cause: error,
    },
  );
}

/** SQLite's own file lock: the system lets go of it however the process ends, and it needs no pid file that could be stale. */
function takeLock(path: string): SqliteDatabase {
  let lock: SqliteDatabase | undefined;
  try {
    lock = openSqlite(path, { create: true });
    lock.exec("PRAGMA locking_mode = EXCLUSIVE");
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock?.close();
    if (storageFailureIn(error) !== undefined) throw unusableError(path, error);
    throw new AppError("conflict", `another process is using the data directory (\`${path}\` is locked)`, {
      cause: error,
    });
  }
}

/** The path of the present database, or `undefined` where there is none. */
export function currentStorePath(directory: string): string | undefined {
  const last = storeNumbers(directory).at(-1);
  return last === undefined ? undefined : storePath(directory, last);
}

/** Where the next database goes. */
export function nextStorePath(directory: string): string {
  return storePath(directory, (storeNumbers(directory).at(-1) ?? 0) + 1);
}

/** All databases, the present one first. The others were replaced. */
export function storePathsIn(directory: string): string[] {
  return storeNumbers(directory)
    .toReversed()
    .map((number) => storePath(directory, number));
}

/**
 * Removes the databases that the present one has replaced, except those at `usedPaths`. While that is not proven, the oldest of them, which was, stays.
 * One of another history stays under a name of its own: where that happens, its path is returned.
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
  const previous = foreign === undefined ? undefined : keepPreviousHistory(directory, foreign);
  const own = replaced.filter((path) => path !== foreign);
  for (const path of isProven ? own : own.slice(0, -1)) removeFiles(databaseFiles(path));
  limitOldFiles(directory, usedPaths);
  return previous;
}

/** The first epoch of the history in a database. Undefined where it can't be read. */
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
const damagedName = /^store-\d+\.db\.damaged(?:-wal)?$/;

function keepPreviousHistory(directory: string, path: string): string {
  const kept = join(directory, previousName);
  removeFiles(databaseFiles(kept));
  const names = databaseFiles(kept);
  // The log may hold what is not in the database yet.
  for (const [index, name] of databaseFiles(path).entries()) {
    const target = names[index];
    if (target !== undefined && existsSync(name)) renameSync(name, target);
  }
  return kept;
}

/** Takes a damaged database out of the way, for somebody to look at; the one before goes. Returns its new name. */
export function quarantineStore(path: string): string {
  const directory = dirname(path);
  removeFiles(damagedIn(directory));
  const aside = `${path}.damaged`;
  renameSync(path, aside);
  // The log may hold what is not in the database yet.
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`);
  removeFiles(databaseFiles(path));
  limitOldFiles(directory);
  return aside;
}

function damagedIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => damagedName.test(name))
    .map((name) => join(directory, name));
}

/** There are never more than two files beside the present database: the damaged one is of the least use. */
function limitOldFiles(directory: string, usedPaths: readonly string[] = []): void {
  const others =
    storePathsIn(directory).filter((path) => !usedPaths.includes(path)).length -
    1 +
    (existsSync(join(directory, previousName)) ? 1 : 0);
  if (others >= 2) removeFiles(damagedIn(directory));
}

/** A small text that belongs to this node, such as its id. An empty one, as a power cut may leave it, is none. */
export function readNodeFile(directory: string, name: string): string | undefined {
  try {
    return withSpareDescriptor(() => readFileSync(join(directory, name), "utf8")) || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Written whole or not at all. Waits for the disk, unless a power cut may take this text back to the one before, or to none. */
export function writeNodeFile(directory: string, name: string, text: string, options: { wait?: boolean } = {}): void {
  withSpareDescriptor(() => writeFileAtomically(join(directory, name), text, { durable: options.wait ?? true }));
}

/**
 * A descriptor that is given up for the time of a note, where the process has no other left. Notes say what a node has promised and how far it has come;
 * a crowd of connections must not keep it from that.
 */
let spareDescriptor: number | undefined;

function keepSpareDescriptor(): void {
  try {
    spareDescriptor ??= openSync("/dev/null", "r");
  } catch {
    // There is none left now; the next note tries again.
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

export function removeNodeFile(directory: string, name: string): void {
  rmSync(join(directory, name), { force: true });
}

function storeNumbers(directory: string): number[] {
  const numbers = readdirSync(directory).flatMap((name) => {
    const match = storeName.exec(name);
    return match === null ? [] : [Number(match[1])];
  });
  return numbers.toSorted((left, right) => left - right);
}

function storePath(directory: string, number: number): string {
  return join(directory, `store-${number}.db`);
}
