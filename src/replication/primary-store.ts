/** A primary's database: opened where it is sound, made where there is none, and under a new epoch where it may not continue what others have seen. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { developmentKey, type Config } from "../config/config.ts";
import { authenticate } from "../engine/authenticate.ts";
import type { Engine } from "../engine/engine.ts";
import type { Epoch } from "../store/epochs.ts";
import { isSameSuccession } from "../store/terms.ts";
import { installStore, nextStore, presentStore, readNote, writeNote } from "../store/data-directory.ts";
import { databaseFiles, removeFiles } from "../store/snapshot.ts";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";
import { describeStorageFailure, storageFailureIn } from "../util/storage-failure.ts";
import { reasonOf } from "../util/reason.ts";
import { removeReplaced } from "./copy.ts";
import { useUp } from "./history-notes.ts";
import { checkStoreAside } from "./snapshots/snapshot-jobs.ts";
import { refuseKnownHistory } from "./succession/known-history.ts";
import type { StartTerm } from "./succession/start-term.ts";
import type { System } from "./system.ts";
import type { Writer } from "./writing/writer.ts";

/** What `ostiary dev` left behind opens to a key that everybody knows. */
export function refuseDevelopmentKey({ adminKey }: Config, engine: Engine): void {
  if (adminKey === developmentKey || authenticate(engine, developmentKey) === undefined) return;
  throw new AppError(
    "conflict",
    "the data are those of `ostiary dev`, whose test key everybody knows: give this node a directory of its own",
  );
}

/** A primary's database, and whether it was made just now. */
export interface PrimaryStore {
  readonly path: string;
  readonly isNew: boolean;
}

/** The primary's file is the truth, so a damaged one is never replaced or repaired here. */
export async function soundStore(writer: Writer, config: Config, system: System): Promise<PrimaryStore> {
  const { data, limits } = config;
  const present = presentStore(data);
  if (present === undefined) {
    await refuseKnownHistory(config, system);
    const made = await makeStore(writer, data);
    useUp(data, "abandon-history");
    return { path: made, isNew: true };
  }
  useUp(data, "abandon-history");
  await checkStoreAside(system, present, limits).catch((cause: unknown) => {
    requireStorage(cause, present);
    // A newer version wrote it: it is not damaged.
    if (cause instanceof AppError && cause.code === "conflict") throw cause;
    throw new AppError(
      "internal",
      `the database \`${present}\` is damaged, restore it from a backup or a node's copy: ${reasonOf(cause)}`,
      { cause },
    );
  });
  removeReplaced(data, true);
  return { path: present, isNew: false };
}

/** Throws where it is the storage that failed: then nothing is known against the data. */
export function requireStorage(cause: unknown, path: string): void {
  const failure = storageFailureIn(cause);
  if (failure === undefined) return;
  const found = describeStorageFailure(failure, path);
  throw new AppError("internal", `the database cannot be opened, although nothing is known against it: ${found}`, {
    cause,
  });
}

/** Made aside and put in its place whole, so that what a first start leaves when it dies is never taken for a damaged database. */
async function makeStore(writer: Writer, data: string): Promise<string> {
  const unfinished = join(data, "new.db");
  removeFiles(databaseFiles(unfinished));
  await writer.open(unfinished);
  await writer.close();
  // A copy takes its place, since the closed connection lives until its statements are collected: every connection of this process would share
  // its `new.db-shm`, and another process (`sqlite3`, for a backup) would not see their locks.
  const copied = `${unfinished}.copy`;
  copyFileSync(unfinished, copied);
  const path = nextStore(data);
  installStore(copied, path);
  removeFiles(databaseFiles(unfinished));
  return path;
}

/** Whether this directory was an edge's or a fallback's before: its term as a primary is one of a successor. */
export function wasFollower(data: string): boolean {
  const before = readNote(data, "role");
  return before !== undefined && before !== "primary";
}

/** Whether a node with these data was the last primary that it knows of, or never was one: then nobody has replaced it. */
export function wasLeading(data: string, epochs: readonly Epoch[]): boolean {
  const led = ledEpoch(data);
  const term = epochs.find(({ epoch }) => epoch === led)?.term;
  const last = epochs.at(-1);
  return led === undefined || (term !== undefined && last !== undefined && isSameSuccession(term, last.term));
}

/** Begins the term of this start. Where the storage fails the primary starts all the same, and its first write tries again. */
export async function beginAtStart(
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
export function noteLeading(data: string, writer: Writer): void {
  try {
    notePosition(data, writer);
    if (readNote(data, "role") !== "primary") writeNote(data, "role", "primary");
  } catch (error) {
    // The next start begins another term, which costs nothing.
    writer.storage.failed("position", error, join(data, "position"));
  }
}

function notePosition(data: string, writer: Writer): void {
  const { epoch, offset } = writer.state;
  const text = `${epoch}:${offset}`;
  if (readNote(data, "position") !== text) writeNote(data, "position", text, { wait: ledEpoch(data) !== epoch });
}

/** The last epoch that the node with these data was the primary of. */
export function ledEpoch(data: string): string | undefined {
  return readNote(data, "position")?.split(":")[0];
}

/**
 * Notes how far the log has gone, beside the database: an old database that is put back will not know of it. Where that cannot be written the node goes
 * on, says so and tries again; until then the note speaks of an earlier position, so that a later one can be lost unnoticed by it.
 */
export function keepPosition(
  started: AsyncDisposableStack,
  data: string,
  writer: Writer,
  intervalMs: number,
  clock: Clock,
): void {
  const note = (): void => {
    try {
      notePosition(data, writer);
      writer.storage.works("position");
    } catch (error) {
      writer.storage.failed("position", error, join(data, "position"));
    }
  };
  started.defer(note);
  started.defer(clock.every(intervalMs, note));
}
