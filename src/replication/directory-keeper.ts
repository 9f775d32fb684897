/**
 * Keeps the data directory of a running node its own. Somebody may remove or move it, or everything in it: without the
 * lock, a second node could start on it. A replica makes a missing directory again, and then fetches a snapshot. A
 * primary does not, because its files have to be put back.
 */
import { existsSync, mkdirSync } from "node:fs";
import type { DataDirectory } from "../store/directory/data-directory.ts";
import { getLogger } from "../telemetry/logger.ts";
import type { Clock } from "../util/clock.ts";
import type { StorageStatus } from "../store/directory/storage-status.ts";

/** As often as the writer looks at the files of its database. */
const checkIntervalMs = 1000;
/** Until a replica makes a missing directory: an operator may be moving it, and a directory that is there is in the way. */
const missingMsMax = 10_000;

/** Reports to `storage` while the directory is missing, or another process has it. The result ends that. */
export function keepDirectory(
  { path, keepLock }: DataDirectory,
  storage: StorageStatus,
  clock: Pick<Clock, "every" | "monotonicMs">,
  { isReplica }: { readonly isReplica: boolean },
): () => void {
  let missingFromMs: number | undefined;
  const makeMissing = (): void => {
    if (existsSync(path)) return void (missingFromMs = undefined);
    missingFromMs ??= clock.monotonicMs();
    if (clock.monotonicMs() - missingFromMs < missingMsMax) return;
    mkdirSync(path, { recursive: true, mode: 0o700 });
    getLogger("storage").warning("the data directory {path} was missing, and this node has made it again", { path });
  };
  return clock.every(checkIntervalMs, () => {
    try {
      if (isReplica) makeMissing();
      keepLock();
      storage.recovered("lock");
    } catch (error) {
      storage.failed("lock", error, path);
    }
  });
}
