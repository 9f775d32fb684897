/** Whether a copy on disk can be started from. Edges and fallbacks can always get another one, so a damaged one only costs time. */
import type { Limits } from "../../config/limits.ts";
import { presentStore, removeOldStores, setAside } from "../../store/data-directory.ts";
import { requireEnvironment } from "../../store/state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { System } from "../system.ts";
import { requireStorage } from "../primary-store.ts";
import { checkStoreAside } from "./snapshot-jobs.ts";

const log = getLogger("store");

/** The path of the present database. A damaged one is put aside, for a snapshot to take its place; one of another environment throws. */
export async function soundStore(
  directory: string,
  environment: string,
  limits: Limits,
  system: System,
): Promise<string | undefined> {
  removeOldStores(directory);
  const path = presentStore(directory);
  if (path === undefined) return undefined;
  try {
    requireEnvironment(await checkStoreAside(system, path, limits), environment);
    return path;
  } catch (error) {
    if (error instanceof AppError && error.code === "conflict") throw error;
    requireStorage(error, path);
    const aside = setAside(path);
    log.error("the database {path} is damaged and put aside as {aside}: {error}", { path, aside, error });
    return undefined;
  }
}
