/**
 * The database of a primary: opened if it is sound, or created; and the record of its position in the data directory.
 */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { installFile } from "../runtime/atomic-file.ts";
import { developmentKey, type Config } from "../config/config.ts";
import { authenticate } from "../engine/authenticate.ts";
import type { Engine } from "../engine/engine.ts";
import {
  nextStorePath,
  currentStorePath,
  readNodeFile,
  restoredName,
  restoringText,
  writeNodeFile,
} from "../store/directory/data-directory.ts";
import { databaseFiles, removeFiles } from "../store/snapshot/snapshot.ts";
import { AppError } from "../util/app-error.ts";
import { storageFailureIn } from "../util/storage-failure.ts";
import { reasonOf } from "../util/reason.ts";
import { removeReplacedDatabases } from "../replication/replica/local-database.ts";
import { consumeApproval } from "../replication/history-notes.ts";
import { lastLedEpoch } from "../replication/role-notes.ts";
import { checkDatabaseInWorker } from "../replication/snapshots/snapshot-jobs.ts";
import { throwIfStorageFailed } from "../replication/snapshots/import-snapshot.ts";
import { requireNoKnownHistory } from "../replication/failover/known-history.ts";
import type { StartTerm } from "../replication/failover/start-term.ts";
import type { Writer } from "../log/writer/writer.ts";
import type { NodeParts } from "./node-parts.ts";

/** AppError `conflict` if the data is from `ostiary dev`, whose key everybody knows. */
export function refuseDevelopmentKey({ adminKey }: Config, engine: Engine): void {
  if (adminKey === developmentKey || authenticate(engine, developmentKey) === undefined) return;
  throw new AppError(
    "conflict",
    "the data are those of `ostiary dev`, whose test key everybody knows: give this node a directory of its own",
  );
}

/**
 * Returns the path, and whether this start has created it. The primary's file is the source of all other databases, so a
 * damaged file is never replaced or repaired here.
 */
export async function openPrimaryDatabase(
  { writer, data, limits, system }: NodeParts,
  config: Config,
  { ignoresKnownHistory }: { readonly ignoresKnownHistory: boolean },
): Promise<{ readonly path: string; readonly isNew: boolean }> {
  const path = currentStorePath(data);
  if (path === undefined) {
    if (readNodeFile(data, restoredName) === restoringText)
      throw new AppError(
        "conflict",
        `\`ostiary restore\` into \`${data}\` was interrupted: run it again, or remove the file \`${join(data, restoredName)}\` to begin without the backup`,
      );
    if (!ignoresKnownHistory) await requireNoKnownHistory(config, system);
    const created = await createDatabase(writer, data);
    consumeApproval(data, "abandon-history");
    return { path: created, isNew: true };
  }
  consumeApproval(data, "abandon-history");
  await checkDatabaseInWorker(system, path, limits).catch((cause: unknown) => {
    throwIfStorageFailed(cause, path);
    // A newer version wrote it, so it is not damaged.
    if (cause instanceof AppError && cause.code === "conflict") throw cause;
    throw new AppError(
      "internal",
      `the database \`${path}\` is damaged, restore it from a backup or a node's copy: ${reasonOf(cause)}`,
      { cause },
    );
  });
  removeReplacedDatabases(data, true);
  return { path, isNew: false };
}

/** Renames the complete database, so that an interrupted first start never leaves one that seems damaged. */
async function createDatabase(writer: Writer, data: string): Promise<string> {
  const unfinished = join(data, "new.db");
  removeFiles(databaseFiles(unfinished));
  await writer.open(unfinished);
  await writer.close();
  // The file is copied, because the closed connection lives until its statements are collected: all connections of this
  // process would share its `new.db-shm`, and another process (`sqlite3`, for a backup) would not see their locks.
  const copied = `${unfinished}.copy`;
  copyFileSync(unfinished, copied);
  const path = nextStorePath(data);
  installFile(copied, path);
  removeFiles(databaseFiles(unfinished));
  return path;
}

/** Begins the term of this start. If the storage fails, the primary starts, and its first write tries again. */
export async function beginFirstTerm(
  { writer: { storage }, data }: NodeParts,
  term: StartTerm,
  isPromoted: boolean,
): Promise<void> {
  try {
    await term.begin();
  } catch (error) {
    // The voters of a promotion wait for its term.
    if (isPromoted || storageFailureIn(error) === undefined) throw error;
    storage.failed("position", error, data);
  }
}

/** The term has begun: records that the directory belongs to the primary of this epoch. */
export function recordLeadership({ data, writer }: NodeParts): void {
  try {
    recordPosition(data, writer);
    if (readNodeFile(data, "role") !== "primary") writeNodeFile(data, "role", "primary");
  } catch (error) {
    // Without the record the next start begins another term, which costs nothing.
    writer.storage.failed("position", error, join(data, "position"));
  }
}

function recordPosition(data: string, writer: Writer): void {
  const { epoch, offset } = writer.state;
  const text = `${epoch}:${offset}`;
  if (readNodeFile(data, "position") !== text)
    writeNodeFile(data, "position", text, { wait: lastLedEpoch(data) !== epoch });
}

/**
 * Records the position of the log beside the database at an interval, so that a start notices that an old database was
 * put back. If the record cannot be written, the node continues, logs it and tries again. Until then the record has an
 * earlier position, so the loss of later events could go unnoticed.
 */
export function recordPositionPeriodically(
  { data, writer, limits, clock }: NodeParts,
  started: AsyncDisposableStack,
): void {
  const record = (): void => {
    try {
      recordPosition(data, writer);
      writer.storage.recovered("position");
    } catch (error) {
      writer.storage.failed("position", error, join(data, "position"));
    }
  };
  started.defer(record);
  started.defer(clock.every(limits.headIntervalMs, record));
}
