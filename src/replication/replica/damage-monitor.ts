/**
 * Whether a database is damaged. SQLite reports a page that the disk cannot read as damage as well, so another thread checks a suspected file again and again:
 * a disk that reads again ends the suspicion. Until then nothing is answered from it. A primary's database is the truth, so there is nothing to repair it
 * from; a replica takes a fresh snapshot meanwhile, where it can get one.
 */
import { isDamage } from "../../runtime/sqlite.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { auditDatabaseInWorker } from "../snapshots/snapshot-jobs.ts";
import type { System } from "../system.ts";
import type { Writer } from "../log/writer.ts";

const log = getLogger("primary");

export interface DamageMonitor {
  readonly found: boolean;
  /** AppError `not_ready` where some was found. */
  requireNone(): void;
  report(error: unknown): boolean;
}

/** A check of a large file takes a while, and a damaged one stays damaged. */
const [recheckMsMin, recheckMsMax] = [1000, 300_000];

export interface RecheckOptions {
  /** The database that is suspected; undefined where there is none any more. */
  readonly path: () => string | undefined;
  readonly isSuspected: () => boolean;
  /** Reads its damaged pages again. Resolves with the damage that is left. */
  readonly checkDamagedPages: (path: string) => Promise<string | undefined>;
  /** A check from end to end has found the database sound that is still suspected. */
  readonly onSound: (path: string) => void;
}

/** Lets another thread check a suspected database again and again, until it is sound or no longer suspected. Returns the function that starts this. */
export function createRecheck(
  { path, isSuspected, checkDamagedPages, onSound }: RecheckOptions,
  started: AsyncDisposableStack,
  system: System,
): () => void {
  let [isRunning, isStopped] = [false, false];
  let cancel = (): void => {};
  started.defer(() => {
    isStopped = true;
    cancel();
  });
  const checkIn = (delayMs: number): void => {
    cancel = system.clock.after(delayMs, () => void check(delayMs));
  };
  const check = async (delayMs: number): Promise<void> => {
    const checked = path();
    if (isStopped || checked === undefined || !isSuspected()) return void (isRunning = false);
    try {
      const problem = await checkDamagedPages(checked);
      if (problem !== undefined) throw new Error(problem);
      await auditDatabaseInWorker(system, checked);
      isRunning = false;
      if (!isStopped && isSuspected() && path() === checked) onSound(checked);
    } catch {
      if (!isStopped) checkIn(Math.min(2 * delayMs, recheckMsMax));
    }
  };
  return () => {
    if (isRunning) return;
    isRunning = true;
    checkIn(recheckMsMin);
  };
}

export interface DamageMonitorOptions {
  readonly path: string;
  readonly writer: Writer;
  /** How often it is read from end to end, in ms. */
  readonly intervalMs: number;
  /** Whether it is read at once too: a start has checked it, a promotion has not. */
  readonly atOnce: boolean;
  /** Called each time that damage is found where none was known. */
  readonly onFound: () => void;
}

/** Of the primary's database, for as long as what was started runs. */
export function monitorDamage(
  { path, writer, intervalMs, atOnce, onFound }: DamageMonitorOptions,
  started: AsyncDisposableStack,
  system: System,
): DamageMonitor {
  let found = false;
  const onSound = (): void => {
    found = false;
    log.warning("the database {path} is sound, the disk could not read it for a while: this primary answers again", {
      path,
    });
  };
  const checkDamagedPages = (): Promise<string | undefined> => writer.checkDamagedPages(path);
  const recheck = createRecheck(
    { path: () => path, isSuspected: () => found, checkDamagedPages, onSound },
    started,
    system,
  );
  const suspect = (reason: string): void => {
    if (found) return;
    found = true;
    log.fatal(
      "the database {path} is damaged or cannot be read ({reason}): this primary answers nothing until a check finds it sound; check the disk, restore the database or promote an edge",
      { path, reason },
    );
    recheck();
    onFound();
  };
  writer.onDamaged(({ problem }) => suspect(problem));
  // What was written once and is read again and again may change on the disk without a word of SQLite's.
  const audit = async (): Promise<void> => {
    try {
      if (!found) await auditDatabaseInWorker(system, path);
    } catch (error) {
      if (storageFailureIn(error) === undefined) return suspect(reasonOf(error));
      log.warning("the database {path} cannot be checked now: {reason}", { path, reason: reasonOf(error) });
    }
  };
  started.defer(system.clock.every(intervalMs, () => void audit()));
  if (atOnce) void audit();
  return {
    get found() {
      return found;
    },
    requireNone() {
      if (!found) return;
      throw new AppError(
        "not_ready",
        "this primary's database is damaged or cannot be read: check its disk, restore it from a backup or promote an edge",
      );
    },
    report(error) {
      if (isDamage(error)) suspect(reasonOf(error));
      return isDamage(error);
    },
  };
}
