/**
 * Whether the files that a connection has open are still those at their paths. A file that was deleted or moved can be read and written through its
 * open descriptor, but all of that is gone when the process ends; another one at its path is what everybody else reads. Told by device and inode.
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
  #walBytes = 0;

  /** Of the database at `path`, which is open: its files are those that are there now. */
  constructor(path: string) {
    this.path = path;
    this.check();
    this.#look(`${path}-shm`);
  }

  /** Bytes of the write-ahead log when it was last looked at. */
  get walBytes(): number {
    return this.#walBytes;
  }

  /** The database and its log. Throws a StorageError where one is gone, or another is there. */
  check(): void {
    this.#look(this.path);
    this.#walBytes = this.#look(`${this.path}-wal`);
  }

  /** The shared memory of the log too: without it other processes would not see the locks of this one. */
  checkAll(): void {
    this.check();
    this.#look(`${this.path}-shm`);
  }

  /** Gives its size. A file that was never there may appear later. */
  #look(path: string): number {
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
