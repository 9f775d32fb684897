/**
 * The disk of a simulated machine, and its faults. While it is full or fails, transactions do not commit, small files
 * are not written, and snapshots are neither made nor unpacked. The data of a failed sync may be on the disk all the
 * same: SQLite has rolled back, but after a crash the next process finds a transaction that was never acknowledged.
 */
import type { Database } from "bun:sqlite";
import { closeSync, existsSync, lstatSync, openSync, readSync, rmSync, symlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Counts } from "./counts.ts";
import type { Random } from "./random.ts";
import type { Owner } from "./time.ts";
import type { StoreWatcher } from "./observed-writer.ts";

/** `unsteady` fails by chance, in any of the ways. */
export type DiskState = "well" | "full" | "failing" | "unsteady";

type Failure = "full" | "write" | "sync";

const errors: Readonly<Record<Failure, { readonly code: string; readonly errno: number; readonly message: string }>> = {
  full: { code: "SQLITE_FULL", errno: 13, message: "database or disk is full" },
  write: { code: "SQLITE_IOERR_WRITE", errno: 778, message: "disk I/O error" },
  sync: { code: "SQLITE_IOERR_FSYNC", errno: 1034, message: "disk I/O error" },
};

/** The files that a node replaces as a whole, beside its database. */
const notes = [
  ...["role", "position", "node-id", "snapshot.json", "pledge", "promoted"],
  ...["head-sequence", "history", "refused-history"],
] as const;
/** Every write to it fails because the device is full. */
const fullDevice = "/dev/full";
/** The probability of a failure on an unsteady disk. */
const unsteadiness = 0.3;

export class SimulatedDisk {
  readonly #random: Random;
  readonly #counts: Counts;
  #directory: string;
  #state: DiskState = "well";
  /** Called when a failed commit has left its data on the disk. */
  onLeft = (): void => {};

  constructor(directory: string, random: Random, counts: Counts) {
    this.#directory = directory;
    this.#random = random;
    this.#counts = counts;
  }

  get state(): DiskState {
    return this.#state;
  }

  set state(state: DiskState) {
    this.#state = state;
    this.#spoilNotes();
  }

  /** The current directory of the machine's files. */
  set directory(directory: string) {
    this.#directory = directory;
    this.#spoilNotes();
  }

  /** Ends a write transaction instead of `commit`. */
  commit(database: Database, watcher: StoreWatcher, commit: () => void): void {
    const failure = this.#draw();
    if (failure === undefined) return commit();
    this.#counts.add("commits failed on a disk");
    if (failure === "sync" && watcher.synchronous === "FULL" && this.#random.chance(0.7)) {
      if (leaveUncommitted(database, watcher, commit)) {
        this.#counts.add("of these left on the disk");
        this.onLeft();
      }
    } else if (this.#random.chance(0.5)) database.run("ROLLBACK");
    throw Object.assign(new Error(errors[failure].message), errors[failure]);
  }

  /** A write of more than a small file. */
  requireRoom(): void {
    const failure = this.#draw();
    if (failure === undefined) return;
    this.#counts.add("snapshots failed on a disk");
    const [code, text] = failure === "full" ? ["ENOSPC", "no space left on device"] : ["EIO", "i/o error"];
    throw Object.assign(new Error(`${code}: ${text}, write`), { code });
  }

  #draw(): Failure | undefined {
    switch (this.#state) {
      case "well":
        return undefined;
      case "full":
        return "full";
      case "failing":
        return this.#random.pick(["write", "sync", "sync"]);
      case "unsteady":
        return this.#random.chance(unsteadiness) ? this.#random.pick(["full", "write", "sync"]) : undefined;
    }
  }

  /** A small file is written under another name first. */
  #spoilNotes(): void {
    for (const note of notes) {
      const path = join(this.#directory, `${note}.new`);
      const isSpoilt = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
      if (this.#state === "well" && isSpoilt) rmSync(path);
      else if (this.#state !== "well" && !isSpoilt) {
        rmSync(path, { force: true });
        symlinkSync(fullDevice, path);
      }
    }
  }
}

interface Attached {
  readonly disk: SimulatedDisk;
  readonly watcher: StoreWatcher;
}

const attached = new WeakMap<Owner, Attached>();

/** The process writes everything to this disk. */
export function attachDisk(owner: Owner, disk: SimulatedDisk, watcher: StoreWatcher): void {
  attached.set(owner, { disk, watcher });
}

/** Ends a transaction of a process. */
export function commitOn(owner: Owner | undefined, database: Database, commit: () => void): void {
  const found = owner === undefined ? undefined : attached.get(owner);
  const isInMemory = !database.filename.startsWith("/");
  if (found === undefined || isInMemory) return commit();
  found.disk.commit(database, found.watcher, commit);
}

const headerBytes = 96;
const [lastFrameAt, copiedAt] = [16, 96];
const autoCheckpointPages = 1000;

/**
 * Commits, and then undoes the commit in the index of the WAL only: the frames stay in the WAL, as SQLite leaves them
 * when a sync fails. Returns false if the WAL would restart over frames that a reader may still use.
 */
function leaveUncommitted(database: Database, watcher: StoreWatcher, commit: () => void): boolean {
  // A file that is only checked has no WAL.
  if (!existsSync(`${database.filename}-shm`)) {
    database.run("ROLLBACK");
    return false;
  }
  const index = openSync(`${database.filename}-shm`, "r+");
  try {
    const before = Buffer.alloc(headerBytes + 4);
    readSync(index, before, 0, before.length, 0);
    const frames = before.readUInt32LE(lastFrameAt);
    if (frames > 0 && frames === before.readUInt32LE(copiedAt)) {
      database.run("ROLLBACK");
      return false;
    }
    database.run("PRAGMA wal_autocheckpoint = 0");
    commit();
    watcher.left();
    writeSync(index, before, 0, headerBytes, 0);
    database.run(`PRAGMA wal_autocheckpoint = ${autoCheckpointPages}`);
    return true;
  } finally {
    closeSync(index);
  }
}
