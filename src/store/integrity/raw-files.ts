/**
 * File descriptors of databases that are read past SQLite. POSIX locks belong to the process: closing any descriptor of a file drops the locks of all
 * connections to it, those of other threads included (https://www.sqlite.org/howtocorrupt.html, section 2.2). So one descriptor per file is kept and shared.
 * It is closed when nobody uses it any more and the file is deleted.
 */
import { closeSync, fstatSync, openSync, statSync } from "node:fs";

export interface RawFile {
  /** The user must not close it. */
  readonly descriptor: number;
  users: number;
}

/** By device and inode. */
const files = new Map<string, RawFile>();

/** The file at `path`, until it is released. Throws where it can't be opened. */
export function openRawFile(path: string): RawFile {
  const { dev, ino } = statSync(path);
  const key = `${dev}:${ino}`;
  const file = files.get(key) ?? { descriptor: openSync(path, "r"), users: 0 };
  file.users++;
  files.set(key, file);
  return file;
}

/** To be called once for each `openRawFile`. */
export function releaseRawFile(file: RawFile): void {
  file.users--;
}

/** Closes the descriptors of unused files that were deleted, so that their space is free. To be called now and then. */
export function closeDeletedRawFiles(): void {
  for (const [key, { descriptor, users }] of files) {
    if (users > 0 || fstatSync(descriptor).nlink > 0) continue;
    files.delete(key);
    closeSync(descriptor);
  }
}

/** Closes all, once no connection of this process is left to these files. */
export function closeRawFiles(): void {
  for (const { descriptor } of files.values()) closeSync(descriptor);
  files.clear();
}
