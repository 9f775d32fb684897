/**
 * Whether a primary's database is damaged. It is the truth, so there is nothing to repair it from here: the primary answers nothing from it. But SQLite
 * reports a page that the disk cannot read as damage as well, so the file is checked aside, again and again; a disk that reads again ends the suspicion.
 */
import { isDamage } from "../runtime/sqlite.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { auditCopyAside } from "./snapshots/snapshot-jobs.ts";
import type { System } from "./system.ts";

const log = getLogger("primary");

export interface Damage {
  readonly found: boolean;
  /** AppError `not_ready` where some was found. */
  requireNone(): void;
  report(error: unknown): boolean;
}

/** A check of a large file takes a while, and a damaged one stays damaged. */
const [recheckMsMin, recheckMsMax] = [1000, 300_000];

/** Of the database at `path`, for as long as what was started runs. */
export function watchDamage(path: string, started: AsyncDisposableStack, system: System): Damage {
  let [found, isStopped] = [false, false];
  let cancel = (): void => {};
  started.defer(() => {
    isStopped = true;
    cancel();
  });
  const checkIn = (delayMs: number): void => {
    cancel = system.clock.after(delayMs, () => void check(delayMs));
  };
  const check = async (delayMs: number): Promise<void> => {
    try {
      await auditCopyAside(system, path);
      found = false;
      log.warning("the database {path} is sound, the disk could not read it for a while: this primary answers again", {
        path,
      });
    } catch {
      if (!isStopped) checkIn(Math.min(2 * delayMs, recheckMsMax));
    }
  };
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
      if (!isDamage(error)) return false;
      if (found) return true;
      found = true;
      log.fatal(
        "the database {path} is damaged or cannot be read ({error}): this primary answers nothing until a check finds it sound; check the disk, restore the database or promote an edge",
        { path, error },
      );
      checkIn(recheckMsMin);
      return true;
    },
  };
}
