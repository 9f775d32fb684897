/**
 * File descriptors of databases that are read past SQLite. POSIX locks belong to the process: closing any descriptor of a file drops the locks of all
 * connections to it, those of other threads included (https://www.sqlite.org/howtocorrupt.html, section 2.2). So one descriptor per file is kept and shared
 * until the file is deleted.
 */
import { closeSync, fstatSync, openSync, statSync } from "node:fs";

/** By device and inode. */
const descriptors = new Map<string, number>();

/** The descriptor of the file at `path`. The caller must not close it. Throws where the file can't be opened. */
export function rawDescriptor(path: string): number {
  closeDeleted();
  const { dev, ino } = statSync(path);
  const key = `${dev}:${ino}`;
  const descriptor = descriptors.get(key) ?? openSync(path, "r");
  descriptors.set(key, descriptor);
  return descriptor;
}

/** Closes the descriptors of files that were deleted, so that their space is free. */
export function closeDeleted(): void {
  for (const [key, descriptor] of descriptors) {
    if (fstatSync(descriptor).nlink > 0) continue;
    descriptors.delete(key);
    closeSync(descriptor);
  }
}

/** Closes all, once no connection of this process is left to these files. */
export function closeAll(): void {
  for (const descriptor of descriptors.values()) closeSync(descriptor);
  descriptors.clear();
}
