/**
 * The state of the storage under the writer's database: whether the files are in place, how much space is free, whether
 * the last commit failed because of the disk, and whether the write-ahead log (WAL) is too long. It refuses writes
 * before they fail halfway, and limits how often recovery is tried.
 */
import { dirname } from "node:path";
import type { Limits } from "../../config/limits.ts";
import { diskSpaceOf, effectiveReserveBytes } from "../../store/directory/disk-space.ts";
import { StoreFiles } from "../../store/directory/store-files.ts";
import type { Clock } from "../../util/clock.ts";
import { AppError } from "../../util/app-error.ts";
import {
  describeRefusedWrite,
  StorageError,
  storageFailureIn,
  describeUncertainWrite,
  type StorageFailure,
} from "../../util/storage-failure.ts";
import type { WriteRequest } from "../append/append.ts";

/** The free space that a write needs: none, half of the reserve, or all of it. */
export type SpaceRequirement = "any" | "half" | "reserve";

/** Removing keys is allowed on any disk that accepts a commit, since it revokes access. */
export function spaceRequirementOf(request: WriteRequest): SpaceRequirement {
  switch (request.kind) {
    case "keys":
      return request.add.length === 0 && request.putBindings === undefined ? "any" : "reserve";
    case "epoch":
      return "any";
    case "batch":
      return request.changes.every((change) => !("inserts" in change)) ? "half" : "reserve";
    case "policy":
    case "clear":
      return "reserve";
  }
}

/** How long a measurement of free space is valid: little can be written meanwhile. */
const freeSpaceValidMs = 100;
/** The minimum time between two recovery attempts caused by writes. The timer has its own interval. */
const retryPauseMs = 100;
/** Ordinary writes resume at this multiple of the reserve, so that a disk at the limit does not flap. */
const reserveSlack = 1.1;

/** What a write may lack: the reserve, or even half of it. */
type MissingSpace = "nothing" | "reserve" | "half";

export interface StorageGuardOptions {
  /** The open database. */
  readonly path: string;
  /** Ordinary writes are refused if fewer bytes are free. 0 reserves nothing. */
  readonly reserveBytes?: number | undefined;
  /** Whether ordinary writes are refused if less is free than the database has, which leaves others their part. */
  readonly sharesDisk?: boolean | undefined;
  readonly limits: Limits;
}

export class StorageGuard {
  readonly #limits: Limits;
  readonly #reserveBytes: number;
  readonly #sharesDisk: boolean;
  readonly #clock: Clock;
  readonly #files: StoreFiles;
  #failure: StorageFailure | undefined;
  #error: unknown;
  #failedAtMs = 0;
  #low: StorageFailure | undefined;
  #space: { readonly atMs: number; readonly missing: MissingSpace } | undefined;

  constructor({ path, reserveBytes = 0, sharesDisk = false, limits }: StorageGuardOptions, clock: Clock) {
    this.#files = new StoreFiles(path);
    this.#reserveBytes = reserveBytes;
    this.#sharesDisk = sharesDisk;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** The current failure, until a successful commit shows that it is over. */
  get failure(): StorageFailure | undefined {
    return this.#failure;
  }

  /** The problem to report: a failure, or too little space for ordinary writes. */
  get problem(): StorageFailure | undefined {
    return this.#failure ?? this.#low ?? this.#longWal;
  }

  /** The size of the write-ahead log at the last check. */
  get walBytes(): number {
    return this.#files.walBytes;
  }

  /** Records the failure of a commit or of another operation. Returns false if the storage did not cause it. */
  recordFailure(error: unknown): boolean {
    const failure = storageFailureIn(error);
    if (failure === undefined) return false;
    this.#failure = failure;
    this.#error = error;
    this.#failedAtMs = this.#clock.monotonicMs();
    return true;
  }

  /** Throws the failure again if it is too early for another attempt. */
  requirePause(): void {
    if (this.#clock.monotonicMs() - this.#failedAtMs < retryPauseMs) throw this.#error;
  }

  recordRecovery(): void {
    this.#failure = undefined;
    this.#space = undefined;
  }

  /** Throws if the files of the database are not in place. It takes 4 µs, so each commit can afford it. */
  requireFiles(): void {
    this.#files.check();
  }

  /** As `requireFiles`, and also measures the free space. */
  check(): void {
    this.#files.checkAll();
    this.#missing();
  }

  /** Throws a StorageError if the disk has too little space for such a write, or the write-ahead log is too long. */
  requireSpace(need: SpaceRequirement): void {
    if (need === "any") return;
    const missing = this.#missing();
    const { reason, detail } = this.#low ?? lowSpace("reserve", 0, 0);
    if (missing === "half" || (missing === "reserve" && need === "reserve"))
      throw new StorageError(reason === "share" ? "STORE_SHARE" : "STORE_RESERVE", detail);
    if (this.#longWal !== undefined) throw new StorageError("STORE_WAL", this.#longWal.detail);
  }

  get #longWal(): StorageFailure | undefined {
    const { walBytesMax } = this.#limits;
    if (this.walBytes <= walBytesMax) return undefined;
    return { reason: "wal", detail: `it has ${this.walBytes} bytes, the limit is ${walBytesMax}` };
  }

  #missing(): MissingSpace {
    if (this.#reserveBytes === 0 && !this.#sharesDisk) return "nothing";
    const atMs = this.#clock.monotonicMs();
    if (this.#space !== undefined && atMs - this.#space.atMs < freeSpaceValidMs) return this.#space.missing;
    const missing = this.#measure();
    this.#space = { atMs, missing };
    return missing;
  }

  #measure(): MissingSpace {
    const space = diskSpaceOf(dirname(this.#files.path));
    if (space === undefined) return "nothing";
    const { freeBytes } = space;
    const reserve = effectiveReserveBytes(space, this.#reserveBytes);
    const share = this.#sharesDisk ? this.#files.databaseBytes : 0;
    const slack = this.#low === undefined ? 1 : reserveSlack;
    if (freeBytes >= Math.max(reserve, share) * slack) {
      this.#low = undefined;
      return "nothing";
    }
    this.#low ??=
      freeBytes < reserve * slack ? lowSpace("reserve", freeBytes, reserve) : lowSpace("share", freeBytes, share);
    return freeBytes < reserve / 2 ? "half" : "reserve";
  }
}

function lowSpace(reason: "reserve" | "share", freeBytes: number, wantedBytes: number): StorageFailure {
  return {
    reason,
    detail: `${freeBytes} bytes are free, ${wantedBytes} are ${reason === "share" ? "used" : "reserved"}`,
  };
}

/**
 * The error for the senders of failed writes. The disk may have stored the whole commit in the file that it writes, or, if
 * it is full, in the first of two.
 */
export function writeRefusal(error: unknown, committing: "nothing" | "one file" | "two files"): unknown {
  const failure = storageFailureIn(error);
  if (failure === undefined) return error;
  const { reason } = failure;
  const isUncertain = committing === "two files" || (committing === "one file" && reason !== "full");
  return new AppError("not_ready", isUncertain ? describeUncertainWrite(reason) : describeRefusedWrite(reason), {
    cause: error,
    mayBeDone: isUncertain,
  });
}
