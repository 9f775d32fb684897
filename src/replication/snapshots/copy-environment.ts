/**
 * Copies the data of an environment into a new one, while its node runs. The work is done in worker threads. The store
 * gets its name last, so an interrupted copy leaves none.
 */
import { join } from "node:path";
import type { Limits } from "../../config/limits.ts";
import { installFile } from "../../runtime/atomic-file.ts";
import { currentStorePath, lockDirectory, nextStorePath } from "../../store/directory/data-directory.ts";
import { diskSpaceOf, effectiveReserveBytes } from "../../store/directory/disk-space.ts";
import { databaseFiles, removeFiles } from "../../store/snapshot/snapshot.ts";
import { AppError } from "../../util/app-error.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { mintEpoch } from "../../log/event/position.ts";
import type { NodeContext } from "../node-context.ts";
import type { System } from "../system.ts";
import { buildEnvironmentInWorker, checkDatabaseInWorker } from "./snapshot-jobs.ts";

/** The new environment. Its data directory is created if it is missing. */
export interface CopyContext extends Pick<NodeContext, "environment" | "data" | "limits"> {
  readonly system: Pick<System, "clock" | "spawnWorker">;
}

/**
 * Copies the store at `source`, which a node may use in any role. The new store has the facts and the active policy, and a history of its own without events, keys and audit entries.
 * AppError `conflict` if the directory has a store or is in use, `not_ready` if the disk has too little space, other
 * errors if the source cannot be read or is damaged. Then there is no store.
 */
export async function copyEnvironment(
  { environment, data, limits, system }: CopyContext,
  source: string,
): Promise<void> {
  const { clock } = system;
  const directory = lockDirectory(data);
  // A primary that starts in the directory removes it, too.
  const unfinished = join(data, "new.db");
  try {
    if (currentStorePath(data) !== undefined)
      throw new AppError("conflict", `\`${data}\` already has a database: copy the environment into another directory`);
    removeFiles(databaseFiles(unfinished));
    const beginning = { environment, epoch: mintEpoch(clock), hash: mintEpoch(clock), timeMs: clock.wallMs() };
    await buildEnvironmentInWorker(system, source, unfinished, beginning, spareBytesOf(data, limits));
    await checkDatabaseInWorker(system, unfinished, limits);
    installFile(unfinished, nextStorePath(data));
  } catch (error) {
    if (storageFailureIn(error)?.reason === "full") throw tooLittleSpace(error);
    throw error;
  } finally {
    removeFiles(databaseFiles(unfinished));
    directory.unlock();
  }
}

/** The free space beside the reserve, which the nodes of this machine need for their writes. */
function spareBytesOf(data: string, { diskReserveBytes }: Limits): number {
  const space = diskSpaceOf(data);
  if (space === undefined) return Number.MAX_SAFE_INTEGER;
  const spare = space.freeBytes - effectiveReserveBytes(space, diskReserveBytes);
  if (spare <= 0) throw tooLittleSpace(undefined);
  return spare;
}

function tooLittleSpace(cause: unknown): AppError {
  const problem = "the disk of this node has too little space for a copy of the environment beside the reserve";
  return new AppError("not_ready", `${problem} (\`diskReserveBytes\`), nothing was created: free space`, { cause });
}
