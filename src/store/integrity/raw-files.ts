/**
 * File descriptors of databases that are read without SQLite. Closing any descriptor of a file releases the POSIX locks
 * of all connections of the process to it (https://www.sqlite.org/howtocorrupt.html, section 2.2). So each file has one
 * shared descriptor, which is closed only after its last user has released it and the file was deleted.
 */
import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";

export interface RawFile {
  /** Users must not close it. */
  readonly descriptor: number;
  readonly directory: string;
  users: number;
}

/** By device and inode. */
const files = new Map<string, RawFile>();

/** Opens the file at `path`, until it is released. Throws if it cannot be opened. */
export function openRawFile(path: string): RawFile {
  const { dev, ino } = statSync(path);
  const key = `${dev}:${ino}`;
  const file = files.get(key) ?? { descriptor: openSync(path, "r"), directory: dirname(path), users: 0 };
  file.users++;
  files.set(key, file);
  return file;
}

/** To be called once for each `openRawFile`. */
export function releaseRawFile(file: RawFile): void {
  file.users--;
}

/** Closes the descriptors of unused files that were deleted, which frees their space. To be called now and then. */
export function closeDeletedRawFiles(): void {
  for (const [key, { descriptor, users }] of files) {
    if (users > 0 || fstatSync(descriptor).nlink > 0) continue;
    files.delete(key);
    closeSync(descriptor);
  }
}

/** Closes all unused descriptors of files in a directory. This process must have no connection to these files any more. */
export function closeRawFiles(directory: string): void {
  for (const [key, file] of files) {
    if (file.users > 0 || file.directory !== directory) continue;
    files.delete(key);
    closeSync(file.descriptor);
  }
}
