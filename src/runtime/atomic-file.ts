/**
 * Atomic replacement of files. A reader sees the old file or the new one, never a part of it, and so does the next
 * start after a power cut: the content is on the disk before the file gets its name, and the name is on the disk before
 * the call returns.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export interface AtomicWriteOptions {
  /** Permissions of the file; by default only its owner may open it. */
  readonly mode?: number;
  /** False if a power cut may bring back the previous file, or leave none or an empty one. */
  readonly durable?: boolean;
}

/** Writes a file. Its content is in `<path>.new` until it is complete. */
export function writeFileAtomically(path: string, content: string, options: AtomicWriteOptions = {}): void {
  const { mode = 0o600, durable = true } = options;
  const temporary = `${path}.new`;
  writeFileSync(temporary, content, { mode });
  if (durable) installFile(temporary, path);
  else renameSync(temporary, path);
}

/** Gives a complete file its final name, in the same file system. */
export function installFile(source: string, target: string): void {
  sync(source);
  renameSync(source, target);
  syncDirectory(dirname(target));
}

/**
 * Some directories cannot be synced: those that this user may write to but not read, such as a drop box for backups, and
 * those of some shared folders. As in PostgreSQL that is not an error: the file has its name already.
 */
function syncDirectory(path: string): void {
  try {
    sync(path);
  } catch (error) {
    if (!unsyncable.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

const unsyncable: ReadonlySet<string> = new Set(["EACCES", "EINVAL"]);

/** Waits until the content of a file, or the names in a directory, are on the disk. */
function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
