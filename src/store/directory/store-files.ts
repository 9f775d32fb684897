/**
 * Checks by device and inode that the open files of a connection are still at their paths. A deleted or moved file can
 * be read and written through its descriptor, but its content is lost when the process ends, and all other programs
 * read the new file at its path.
 */
import { statSync } from "node:fs";
import { StorageError } from "../../util/storage-failure.ts";

export interface FileBytes {
  readonly database: number;
  readonly wal: number;
}

/** The sizes of the database at `path` and of its write-ahead log; 0 for a file that does not exist. */
export function fileBytes(path: string): FileBytes {
  const bytes = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  return { database: bytes(path), wal: bytes(`${path}-wal`) };
}

export class StoreFiles {
  readonly path: string;
  readonly #identities = new Map<string, string>();
  #databaseBytes = 0;
  #walBytes = 0;

  /** For the database at `path`, which was just opened: its files are the ones that exist now. */
  constructor(path: string) {
    this.path = path;
    this.check();
    this.#checkFile(`${path}-shm`);
  }

  /** The size of the write-ahead log at the last check. */
  get walBytes(): number {
    return this.#walBytes;
  }

  /** The size of the database at the last check. */
  get databaseBytes(): number {
    return this.#databaseBytes;
  }

  /** Checks the database and its log. Throws a StorageError if one is missing or was replaced. */
  check(): void {
    this.#databaseBytes = this.#checkFile(this.path);
    this.#walBytes = this.#checkFile(`${this.path}-wal`);
  }

  /** Checks the shared memory of the log too: without that file other processes would not see the locks of this one. */
  checkAll(): void {
    this.check();
    this.#checkFile(`${this.path}-shm`);
  }

  /** Returns the size of a file. One that did not exist may appear later. */
  #checkFile(path: string): number {
    const found = statSync(path, { throwIfNoEntry: false });
    const known = this.#identities.get(path);
    if (found === undefined) {
      if (known !== undefined) throw new StorageError("STORE_REPLACED", `\`${path}\` was deleted or moved`);
      return 0;
    }
    const identity = `${found.dev}:${found.ino}`;
    if (known === undefined) this.#identities.set(path, identity);
    else if (known !== identity)
      throw new StorageError("STORE_REPLACED", `\`${path}\` is another file than the one in use`);
    return found.size;
  }
}
