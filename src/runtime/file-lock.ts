/**
 * A lock between processes: a file lock of SQLite. The system releases it however the process ends, while a pid file
 * could be stale.
 */
import { SqliteDatabase } from "./sqlite.ts";

export interface FileLock {
  release(): void;
}

/** Creates a missing file, and locks it until `release` or the end of this process. Throws an error of SQLite. */
export function lockFile(path: string): FileLock {
  const lock = new SqliteDatabase(path, { create: true });
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE");
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    throw error;
  }
  return { release: () => lock.close() };
}
