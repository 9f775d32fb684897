/** Migrates the database in a data directory to the format of this release, which ends the way back to an older one. */
import { basename, dirname } from "node:path";
import { type MovedListener, removeAddedTables } from "../connection/added-tables.ts";
import { oldestKeptFormat, readFormat, schemaVersion } from "../connection/database-format.ts";
import { openStore } from "../connection/open-store.ts";
import { must } from "../../util/assert.ts";
import { currentStorePath, environmentsName } from "./data-directory.ts";

export interface Migration {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Migrates the database in `directory`, in one transaction. Nobody else may use the directory, which must have a
 * database. Throws as `openStore` does.
 */
export function migrateStoreIn(directory: string, onMoved: MovedListener): Migration {
  const path = must(currentStorePath(directory), "the directory has a database");
  const from = formatOf(path);
  if (from < schemaVersion) {
    openStore(path, { create: false, convert: true, addedTables: onMoved }).close();
    removeAddedTables(path);
  }
  return { path, from, to: schemaVersion };
}

/**
 * The format of a new database in `directory`. A hosted environment begins with that of the default one, since both go
 * back to an older release together.
 */
export function formatOfNewStore(directory: string): number {
  const above = dirname(directory);
  const format = basename(above) === environmentsName ? formatIn(dirname(above)) : undefined;
  return format === undefined || format < oldestKeptFormat ? schemaVersion : format;
}

/** Whether the directory has a database of the newest format. */
export function isMigrated(directory: string): boolean {
  return formatIn(directory) === schemaVersion;
}

/** Undefined without a database, and if it cannot be read. */
function formatIn(directory: string): number | undefined {
  try {
    const path = currentStorePath(directory);
    return path === undefined ? undefined : formatOf(path);
  } catch {
    return undefined;
  }
}

/** The format of the database at `path`. Throws as `openStore` does. */
export function formatOf(path: string): number {
  const store = openStore(path, { readonly: true });
  try {
    return readFormat(store);
  } finally {
    store.close();
  }
}
