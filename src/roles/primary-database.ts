/** A primary's database: opened where it is sound, made where there is none, and under a new epoch where it may not continue what others have seen. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { installFile } from "../runtime/atomic-file.ts";
import { developmentKey, type Config } from "../config/config.ts";
import { authenticate } from "../engine/authenticate.ts";
import type { Engine } from "../engine/engine.ts";
import type { Epoch } from "../store/log/epochs.ts";
import { isSameFailover } from "../store/log/terms.ts";
import { nextStorePath, currentStorePath, readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import { databaseFiles, removeFiles } from "../store/snapshot/snapshot.ts";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";
import { describeStorageFailure, storageFailureIn } from "../util/storage-failure.ts";
import { reasonOf } from "../util/reason.ts";
import { removeReplacedDatabases } from "../replication/replica/local-database.ts";
import { consumeApproval } from "../replication/history-notes.ts";
import { checkDatabaseInWorker } from "../replication/snapshots/snapshot-jobs.ts";
import { requireNoKnownHistory } from "../replication/failover/known-history.ts";
import type { StartTerm } from "../replication/failover/start-term.ts";
import type { System } from "../replication/system.ts";
import type { Writer } from "../replication/log/writer.ts";

/** What `ostiary dev` left behind opens to a key that everybody knows. */
export function refuseDevelopmentKey({ adminKey }: Config, engine: Engine): void {
  if (adminKey === developmentKey || authenticate(engine, developmentKey) === undefined) return;
  throw new AppError(
    "conflict",
    "the data are those of `ostiary dev`, whose test key everybody knows: give this node a directory of its own",
  );
}

/** A primary's database, and whether it was made just now. */
export interface PrimaryDatabase {
  readonly path: string;
  readonly isNew: boolean;
}

/** The primary's file is the truth, so a damaged one is never replaced or repaired here. */
export async function openPrimaryDatabase(writer: Writer, config: Config, system: System): Promise<PrimaryDatabase> {
  const { data, limits } = config;
  const present = currentStorePath(data);
  if (present === undefined) {
    await requireNoKnownHistory(config, system);
    const made = await createDatabase(writer, data);
    consumeApproval(data, "abandon-history");
    return { path: made, isNew: true };
  }
  consumeApproval(data, "abandon-history");
  await checkDatabaseInWorker(system, present, limits).catch((cause: unknown) => {
    throwIfStorageFailed(cause, present);
    // A newer version wrote it: it is not damaged.
    if (cause instanceof AppError && cause.code === "conflict") throw cause;
    throw new AppError(
      "internal",
      `the database \`${present}\` is damaged, restore it from a backup or a node's copy: ${reasonOf(cause)}`,
      { cause },
    );
  });
  removeReplacedDatabases(data, true);
  return { path: present, isNew: false };
}

/** Throws where it is the storage that failed: then nothing is known against the data. */
export function throwIfStorageFailed(cause: unknown, path: string): void {
  const failure = storageFailureIn(cause);
  if (failure === undefined) return;
  const found = describeStorageFailure(failure, path);
  throw new AppError("internal", `the database cannot be opened, although nothing is known against it: ${found}`, {
    cause,
  });
}

/** Made aside and put in its place whole, so that what a first start leaves when it dies is never taken for a damaged database. */
async function createDatabase(writer: Writer, data: string): Promise<string> {
  const unfinished = join(data, "new.db");
  removeFiles(databaseFiles(unfinished));
  await writer.open(unfinished);
  await writer.close();
  // A copy takes its place, since the closed connection lives until its statements are collected: every connection of this process would share
  // its `new.db-shm`, and another process (`sqlite3`, for a backup) would not see their locks.
  const copied = `${unfinished}.copy`;
  copyFileSync(unfinished, copied);
  const path = nextStorePath(data);
  installFile(copied, path);
  removeFiles(databaseFiles(unfinished));
  return path;
}

/** Whether this directory was an edge's or a fallback's before: its term as a primary is one of a successor. */
export function wasReplica(data: string): boolean {
  const before = readNodeFile(data, "role");
  return before !== undefined && before !== "primary";
}

/** Whether a node with these data was the last primary that it knows of, or never was one: then nobody has replaced it. */
export function mayStillLead(data: string, epochs: readonly Epoch[]): boolean {
  const led = lastLedEpoch(data);
  const term = epochs.find(({ epoch }) => epoch === led)?.term;
  const last = epochs.at(-1);
  return led === undefined || (term !== undefined && last !== undefined && isSameFailover(term, last.term));
}

/** Begins the term of this start. Where the storage fails the primary starts all the same, and its first write tries again. */
export async function beginFirstTerm(
  term: StartTerm,
  { storage }: Writer,
  data: string,
  isPromoted: boolean,
): Promise<void> {
  try {
    await term.begin();
  } catch (error) {
    // Those that voted for a promotion wait for its term.
    if (isPromoted || storageFailureIn(error) === undefined) throw error;
    storage.failed("position", error, data);
  }
}

/** Its term has begun: notes that the directory is a primary's, and of which epoch. */
export function recordLeadership(data: string, writer: Writer): void {
  try {
    recordPosition(data, writer);
    if (readNodeFile(data, "role") !== "primary") writeNodeFile(data, "role", "primary");
  } catch (error) {
    // The next start begins another term, which costs nothing.
    writer.storage.failed("position", error, join(data, "position"));
  }
}

function recordPosition(data: string, writer: Writer): void {
  const { epoch, offset } = writer.state;
  const text = `${epoch}:${offset}`;
  if (readNodeFile(data, "position") !== text)
    writeNodeFile(data, "position", text, { wait: lastLedEpoch(data) !== epoch });
}

/** The last epoch that the node with these data was the primary of. */
export function lastLedEpoch(data: string): string | undefined {
  return readNodeFile(data, "position")?.split(":")[0];
}

/**
 * Notes how far the log has gone, beside the database: an old database that is put back will not know of it. Where that cannot be written the node goes
 * on, says so and tries again; until then the note speaks of an earlier position, so that a later one can be lost unnoticed by it.
 */
export function recordPositionPeriodically(
  started: AsyncDisposableStack,
  data: string,
  writer: Writer,
  intervalMs: number,
  clock: Clock,
): void {
  const note = (): void => {
    try {
      recordPosition(data, writer);
      writer.storage.recovered("position");
    } catch (error) {
      writer.storage.failed("position", error, join(data, "position"));
    }
  };
  started.defer(note);
  started.defer(clock.every(intervalMs, note));
}
