/**
 * What the writer knows of the storage under its database: whether the files are still in place, how much space is free, whether the last commit failed
 * because of the disk, and whether the write-ahead log is too long. It refuses writes before they could fail halfway, and says when it is worth a try again.
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
import type { WriteRequest } from "./append.ts";

/** How low the free space may be for a write: any at all, half of the reserve, or the reserve. */
export type SpaceRequirement = "any" | "half" | "reserve";

/** Keys can be removed on any disk that takes a commit at all, since that is how access is taken away. */
export function spaceRequirementOf(request: WriteRequest): SpaceRequirement {
  switch (request.kind) {
    case "keys":
      return request.add.length === 0 ? "any" : "reserve";
    case "epoch":
      return "any";
    case "batch":
      return request.changes.every((change) => !("inserts" in change)) ? "half" : "reserve";
    case "policy":
    case "clear":
      return "reserve";
  }
}

/** Between two looks at the free space: little can be written meanwhile. */
const freeSpaceValidMs = 100;
/** Between two attempts to recover that are made because of writes; the timer makes its own. */
const retryPauseMs = 100;
/** Above the reserve before ordinary writes go on, so that a disk at the limit does not change its state with each write. */
const reserveSlack = 1.1;

export class StorageGuard {
  readonly #limits: Limits;
  readonly #reserveBytes: number;
  readonly #clock: Clock;
  readonly #files: StoreFiles;
  #failure: StorageFailure | undefined;
  #error: unknown;
  #failedAtMs = 0;
  #low: StorageFailure | undefined;
  #space: { readonly atMs: number; readonly missing: "nothing" | "reserve" | "half" } | undefined;

  /** Of the database at `path`, which is open. A `reserveBytes` of 0 keeps none. */
  constructor(path: string, reserveBytes: number, limits: Limits, clock: Clock) {
    this.#files = new StoreFiles(path);
    this.#reserveBytes = reserveBytes;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** What failed, until a probe has shown that it is over. */
  get failure(): StorageFailure | undefined {
    return this.#failure;
  }

  /** What to report: a failure, or that there is too little space for ordinary writes. */
  get problem(): StorageFailure | undefined {
    return this.#failure ?? this.#low ?? this.#longWal;
  }

  /** Bytes of the write-ahead log when it was last looked at. */
  get walBytes(): number {
    return this.#files.walBytes;
  }

  /** Notes the failure of a commit or of anything else. False where it was none of the storage. */
  recordFailure(error: unknown): boolean {
    const failure = storageFailureIn(error);
    if (failure === undefined) return false;
    this.#failure = failure;
    this.#error = error;
    this.#failedAtMs = this.#clock.monotonicMs();
    return true;
  }

  /** Throws the failure again where it is too early to see whether it is over. */
  requirePause(): void {
    if (this.#clock.monotonicMs() - this.#failedAtMs < retryPauseMs) throw this.#error;
  }

  recordRecovery(): void {
    this.#failure = undefined;
    this.#space = undefined;
  }

  /** Throws where the files of the database are not in place. Takes 4 µs, so each commit can afford it. */
  requireFiles(): void {
    this.#files.check();
  }

  /** The same for all of them, and looks at the free space. */
  check(): void {
    this.#files.checkAll();
    this.#missing();
  }

  /** Throws a StorageError where the disk has too little space for such a write, or the write-ahead log may not become longer. */
  requireSpace(need: SpaceRequirement): void {
    if (need === "any") return;
    const missing = this.#missing();
    if (missing === "half" || (missing === "reserve" && need === "reserve"))
      throw new StorageError("STORE_RESERVE", (this.#low ?? lowSpace(0, 0)).detail);
    if (this.#longWal !== undefined) throw new StorageError("STORE_WAL", this.#longWal.detail);
  }

  get #longWal(): StorageFailure | undefined {
    const { walBytesMax } = this.#limits;
    if (this.walBytes <= walBytesMax) return undefined;
    return { reason: "wal", detail: `it has ${this.walBytes} bytes, the limit is ${walBytesMax}` };
  }

  #missing(): "nothing" | "reserve" | "half" {
    if (this.#reserveBytes === 0) return "nothing";
    const atMs = this.#clock.monotonicMs();
    if (this.#space !== undefined && atMs - this.#space.atMs < freeSpaceValidMs) return this.#space.missing;
    const missing = this.#measure();
    this.#space = { atMs, missing };
    return missing;
  }

  #measure(): "nothing" | "reserve" | "half" {
    const space = diskSpaceOf(dirname(this.#files.path));
    const reserve = space === undefined ? 0 : effectiveReserveBytes(space, this.#reserveBytes);
    const free = space?.freeBytes ?? 0;
    const enough = this.#low === undefined ? reserve : reserve * reserveSlack;
    if (free >= enough) {
      this.#low = undefined;
      return "nothing";
    }
    this.#low ??= lowSpace(free, reserve);
    return free < reserve / 2 ? "half" : "reserve";
  }
}

function lowSpace(freeBytes: number, reserveBytes: number): StorageFailure {
  return { reason: "reserve", detail: `${freeBytes} bytes are free, ${reserveBytes} are reserved` };
}

/** What to tell those whose writes failed. `wasCommitting`: the disk may have all of it, although nobody was told so. */
export function writeRefusal(error: unknown, wasCommitting: boolean): unknown {
  const failure = storageFailureIn(error);
  if (failure === undefined) return error;
  const { reason } = failure;
  const isUncertain = wasCommitting && reason !== "full";
  return new AppError("not_ready", isUncertain ? describeUncertainWrite(reason) : describeRefusedWrite(reason), {
    cause: error,
  });
}
