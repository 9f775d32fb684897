/**
 * Atomic replacement of files. A reader, and the next start after a power cut, sees the old file or the new one, never a
 * part: the content is on the disk before the file gets its name, and the name before the call returns.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Writes a file that only its owner may open. Its content is in `<path>.new` until it is complete. Unless it is
 * durable, a power cut may bring back the previous file, or leave none or an empty one.
 */
export function writeFileAtomically(path: string, content: string, isDurable = true): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, content, { mode: 0o600 });
  if (isDurable) installFile(temporary, path);
  else renameSync(temporary, path);
}

/** Gives a complete file its final name, in the same file system. */
export function installFile(source: string, target: string): void {
  sync(source);
  renameSync(source, target);
  syncDirectory(dirname(target));
}

/**
 * Waits until the names in a directory are on the disk. Unreadable directories (a drop box for backups) and some shared folders cannot be
 * synced: as in PostgreSQL no error.
 */
export function syncDirectory(path: string): void {
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
