/**
 * Finds a sound database to start from. Edges and fallbacks can always get another one, so a damaged one only costs
 * time.
 */
import type { Limits } from "../../config/limits.ts";
import { quarantineStore, storePathsIn } from "../../store/directory/data-directory.ts";
import { requireEnvironment } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { describeStorageFailure, storageFailureIn } from "../../util/storage-failure.ts";
import type { System } from "../system.ts";
import { checkDatabaseInWorker } from "./snapshot-jobs.ts";

const log = getLogger("store");

/**
 * Returns the path of the current database. A damaged one is moved out of the way. Its place takes the one that it
 * replaced, which stays until its successor is verified, or a snapshot. Throws if the database is of another
 * environment.
 */
export async function findVerifiedDatabase(
  directory: string,
  environment: string,
  limits: Limits,
  system: System,
): Promise<string | undefined> {
  for (const path of storePathsIn(directory)) {
    try {
      requireEnvironment(await checkDatabaseInWorker(system, path, limits), environment);
      return path;
    } catch (error) {
      if (error instanceof AppError && error.code === "conflict") throw error;
      throwIfStorageFailed(error, path);
      const movedTo = quarantineStore(path);
      log.error("the database {path} is damaged and was moved to {movedTo}: {error}", { path, movedTo, error });
    }
  }
  return undefined;
}

/** Throws if the storage failed: that says nothing about the data. */
export function throwIfStorageFailed(cause: unknown, path: string): void {
  const failure = storageFailureIn(cause);
  if (failure === undefined) return;
  const found = describeStorageFailure(failure, path);
  throw new AppError("internal", `the database cannot be opened, although it may be sound: ${found}`, { cause });
}
