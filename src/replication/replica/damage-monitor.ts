/**
 * Monitors whether a database is damaged. SQLite also reports damage if the disk cannot read a page now. So a worker
 * checks a suspected file repeatedly, and a disk that reads again ends the suspicion. Until then the database does not
 * answer. Nothing can repair a primary's database, the source of all others; a replica fetches a snapshot meanwhile.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { isDamage, storageFailureIn } from "../../util/storage-failure.ts";
import { auditDatabaseInWorker } from "../snapshots/snapshot-jobs.ts";
import type { System } from "../system.ts";
import type { ReplicaParts } from "./replica-parts.ts";

const log = getLogger("primary");

export type DamageMonitor = ReturnType<typeof monitorDamage>;

/** A check of a large file takes long, and a damaged file usually stays damaged. */
const [recheckMsMin, recheckMsMax] = [1000, 300_000];

export interface RecheckOptions {
  /** The suspected database. Undefined when it is closed. */
  readonly path: () => string | undefined;
  readonly isSuspected: () => boolean;
  /** Reads its damaged pages again. Resolves with the damage that is left. */
  readonly checkDamagedPages: (path: string) => Promise<string | undefined>;
  /** A check of the whole file has found the suspected database sound. */
  readonly onSound: (path: string) => void;
}

/** Returns a function that starts checks of the suspected database, with a backoff, until the suspicion has ended. */
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

/** `isUnread`: nobody has read the whole file yet, as a start does, and a promotion does not. */
export function monitorDamage(
  { writer, database, limits, system, clock }: ReplicaParts,
  isUnread: boolean,
  onFound: () => void,
  started: AsyncDisposableStack,
) {
  const { path } = database;
  let found = false;
  const onSound = (): void => {
    found = false;
    database.gate.change();
    const text = "the database {path} is sound, the disk could not read it for a while: this primary answers again";
    log.warning(text, { path });
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
    database.gate.change();
    metrics.databasesRejected.inc();
    log.error(
      "the database {path} is damaged or cannot be read ({reason}): this primary answers nothing until a check finds it sound; check the disk, restore the database or promote an edge",
      { path, reason },
    );
    recheck();
    onFound();
  };
  started.defer(writer.onDamaged(({ problem }) => suspect(problem)));
  started.defer(writer.onAddedTablesReplaced(() => database.reattachAddedTables()));
  // Data may change on the disk without an error from SQLite.
  const audit = async (): Promise<void> => {
    try {
      if (!found) await auditDatabaseInWorker(system, path);
    } catch (error) {
      if (storageFailureIn(error) === undefined) return suspect(reasonOf(error));
      log.warning("the database {path} cannot be checked now: {reason}", { path, reason: reasonOf(error) });
    }
  };
  started.defer(clock.every(limits.databaseCheckIntervalMs, () => void audit()));
  if (isUnread) void audit();
  return {
    get found(): boolean {
      return found;
    },
    /** AppError `not_ready` if damage was found. */
    requireNone(): void {
      if (!found) return;
      throw new AppError(
        "not_ready",
        "this primary's database is damaged or cannot be read: check its disk, restore it from a backup or promote an edge",
      );
    },
    /** Returns whether the error is damage, of the database or of the tables beside it. */
    report(error: unknown): boolean {
      if (!isDamage(error)) return false;
      if (database.hasDamagedAddedTables()) writer.replaceDamagedAddedTables();
      else suspect(reasonOf(error));
      return true;
    },
  };
}
