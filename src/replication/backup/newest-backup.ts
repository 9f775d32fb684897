/** The time of the newest backup in `backupDirectory`, for the metric by which an alert finds a schedule that fails. */
import { getLogger } from "../../telemetry/logger.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { StoredBackups } from "./stored-backups.ts";

export interface NewestBackup {
  /** When it was made, in ms since 1970; 0 if there is none, undefined until the directory was listed once. */
  madeMs(): number | undefined;
  close(): void;
}

/** The directory may be far away, and a backup is made every few hours. */
const intervalMs = 5 * 60_000;
const log = getLogger("backup");

/** Lists the backups now and every few minutes. Those with a wrong MAC do not count. */
export function watchNewestBackup(list: () => Promise<StoredBackups>, clock: Clock): NewestBackup {
  let madeMs: number | undefined;
  let isListing = false;
  let hasFailed = false;
  const look = async (): Promise<void> => {
    // A directory that hangs takes one listing, not one every few minutes.
    if (isListing) return;
    isListing = true;
    try {
      const { backups } = await list();
      madeMs = backups.find(({ authenticity }) => authenticity !== "wrong")?.manifest.madeMs ?? 0;
      hasFailed = false;
    } catch (error) {
      if (!hasFailed) log.warning("{reason}", { reason: reasonOf(error) });
      hasFailed = true;
      madeMs = 0;
    } finally {
      isListing = false;
    }
  };
  void look();
  const close = clock.every(intervalMs, () => void look());
  return { madeMs: () => madeMs, close };
}
