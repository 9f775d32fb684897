/** Chooses the database that a node starts from, and imports snapshot files: by a command, or when a node starts. */
import { basename } from "node:path";
import type { Config } from "../../config/config.ts";
import type { Limits } from "../../config/limits.ts";
import {
  historyOf,
  lockDirectory,
  currentStorePath,
  quarantineStore,
  readNodeFile,
  removeReplacedStores,
  storePathsIn,
  writeNodeFile,
} from "../../store/directory/data-directory.ts";
import { requireKnownFormat } from "../../store/snapshot/snapshot-header.ts";
import { openSnapshot, snapshotTag, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { type Authenticity, authenticityOf } from "../../store/snapshot/snapshot-mac.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { operator } from "../../store/log/audit-entry.ts";
import { readState, requireEnvironment, type StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { reasonOf } from "../../util/reason.ts";
import { describeStorageFailure, storageFailureIn } from "../../util/storage-failure.ts";
import { noteAction } from "../../store/directory/noted-actions.ts";
import { formatToken } from "../../log/event/position.ts";
import type { OnStep } from "../progress.ts";
import { HistoryGuard } from "../history-guard.ts";
import { nodeKeyHashesOf } from "../identity.ts";
import { realSystem } from "../system.ts";
import {
  installSnapshot,
  unpackPath,
  writeSnapshotMetadata,
  type InstalledSnapshot,
  type SnapshotContext,
} from "./install-snapshot.ts";
import { checkDatabaseInWorker } from "./snapshot-jobs.ts";
import { readStore } from "./check-database.ts";

const log = getLogger("snapshot");

/** Opens a snapshot file. AppError names the file and says why it cannot be read or used. */
export function openSnapshotFile(path: string): Snapshot {
  try {
    const snapshot = openSnapshot(path);
    requireKnownFormat(snapshot.manifest);
    return snapshot;
  } catch (error) {
    throw snapshotFileError(path, error);
  }
}

export interface SnapshotImportOptions {
  readonly file: string;
  readonly data: string;
  readonly force: boolean;
  readonly limits: Limits;
  readonly nodeKeyHashes: NodeKeyHashes | undefined;
  /** Accepts a file whose MAC is missing or cannot be verified. A file with a wrong MAC is always refused. */
  readonly allowUnauthenticated: boolean;
  /** The user of the system who imports, for the audit log, if it is known. */
  readonly operator?: string | null;
  readonly onStep?: OnStep;
}

export interface ImportedSnapshot extends InstalledSnapshot {
  readonly authenticity: Authenticity;
  /** Where the replaced database of another history is kept. */
  readonly previous: string | undefined;
}

/** Checks it completely and imports it for a node that is not running. AppError says why it is refused. */
export async function importSnapshot(options: SnapshotImportOptions): Promise<ImportedSnapshot> {
  const { file, data, force, limits, nodeKeyHashes, allowUnauthenticated, onStep } = options;
  const snapshot = openSnapshotFile(file);
  const authenticity = requireAuthentic(snapshot, nodeKeyHashes, allowUnauthenticated);
  const directory = lockDirectory(data);
  try {
    requireImportTarget(data, snapshot, force);
    const guard = new HistoryGuard(data, realSystem.clock);
    onStep?.("unpacking", { path: unpackPath(data), bytes: snapshot.manifest.unpackedBytes, next: "checking" });
    const installed = await install({ data, limits, system: realSystem }, snapshot, guard);
    guard.adopt(must(historyOf(installed.path)));
    const previous = removeReplacedStores(data, false);
    // If this node becomes a primary one day, it must begin a new epoch: others may have continued from here.
    if (readNodeFile(data, "role") === undefined) writeNodeFile(data, "role", "fallback");
    const { epoch, offset } = installed.state;
    const details = { file: basename(file), force, authenticity };
    const target = formatToken(epoch, offset);
    noteAction(data, { actor: operator(options.operator), action: "snapshot.import", target, details });
    return { ...installed, authenticity, previous };
  } finally {
    directory.unlock();
  }
}

/** AppError `invalid_request` if no node of this environment has authenticated the file, unless that is allowed. */
export function requireAuthentic(
  { path, signed }: Snapshot,
  nodeKeyHashes: NodeKeyHashes | undefined,
  allowUnauthenticated: boolean,
): Authenticity {
  let authenticity: Authenticity;
  try {
    authenticity = authenticityOf(signed, nodeKeyHashes);
  } catch (error) {
    throw snapshotFileError(path, error);
  }
  if (authenticity === "verified" || allowUnauthenticated) return authenticity;
  throw new AppError(
    "invalid_request",
    authenticity === "absent"
      ? `\`${path}\` is not authenticated: it has no MAC, because an older version made it, or someone without the node key. If you know where it comes from, use --allow-unauthenticated`
      : `\`${path}\` cannot be authenticated: its MAC is verified with the node key${signed.nodeKey === undefined ? "" : ` \`${signed.nodeKey}\``}, and none is given. Put it into OSTIARY_NODE_KEY; or if you know where the file comes from, use --allow-unauthenticated`,
  );
}

function requireImportTarget(data: string, { manifest }: Snapshot, force: boolean): void {
  if (readNodeFile(data, "role") === "primary")
    throw new AppError(
      "conflict",
      `\`${data}\` belongs to a primary; import into the directory of an edge or a fallback`,
    );
  const currentPath = currentStorePath(data);
  if (currentPath === undefined) return;
  const state = readStateAt(currentPath);
  if (state !== undefined) requireEnvironment(state, manifest.environment);
  if (!force)
    throw new AppError(
      "conflict",
      `\`${data}\` already has a database${state === undefined ? "" : `, at offset ${state.offset}`}; \`--force\` replaces it`,
    );
}

/** Undefined if the file is damaged too much to tell. */
function readStateAt(path: string): StoreState | undefined {
  try {
    return readStore(path, readState);
  } catch {
    return undefined;
  }
}

async function install(
  context: Omit<SnapshotContext, "environment">,
  snapshot: Snapshot,
  guard: HistoryGuard,
): Promise<InstalledSnapshot> {
  const { path, manifest } = snapshot;
  try {
    if (manifest.history !== undefined) guard.require(manifest.history, "it");
    const installed = await installSnapshot(context, snapshot, guard, "it");
    writeSnapshotMetadata(context.data, { tag: snapshotTag(manifest), confirmedMs: manifest.madeMs });
    return installed;
  } catch (error) {
    throw snapshotFileError(path, error);
  }
}

/**
 * Returns the path of the database that an edge or a fallback starts from: its own if that is sound, or the configured
 * snapshot if that is newer or there is no other. Undefined if there is neither. AppError if one of them is of another
 * environment, or if there is no database and the file does not exist.
 */
export async function chooseInitialDatabase(
  context: SnapshotContext,
  { nodeKey, import: file }: Config,
  guard: HistoryGuard,
): Promise<string | undefined> {
  const own = await findVerifiedDatabase(context);
  if (file === undefined) return own;
  try {
    const snapshot = openSnapshotFile(file);
    requireEnvironment(snapshot.manifest, context.environment);
    if (own !== undefined && !isNewer(snapshot, readStateAt(own), guard.own)) return own;
    requireAuthenticFile(snapshot, nodeKeyHashesOf({ nodeKey }));
    return (await install(context, snapshot, guard)).path;
  } catch (error) {
    // A start fails only because of a wrong configuration, and only if the node has never started and has no database.
    // It can fetch a snapshot from other nodes otherwise.
    if (own === undefined && guard.own === undefined && error instanceof AppError && error.code !== "invalid_request")
      throw error;
    log.error("the snapshot {file} was not imported: {reason}", { file, reason: reasonOf(error) });
    return own;
  }
}

/**
 * Returns the path of a sound database. A damaged one is moved out of the way, and the one that it replaced is next: it
 * stays until its successor is verified. Throws if the database is of another environment.
 */
async function findVerifiedDatabase({
  environment,
  data,
  limits,
  system,
}: SnapshotContext): Promise<string | undefined> {
  for (const path of storePathsIn(data)) {
    try {
      requireEnvironment(await checkDatabaseInWorker(system, path, limits), environment);
      return path;
    } catch (error) {
      if (error instanceof AppError && error.code === "conflict") throw error;
      throwIfStorageFailed(error, path);
      const movedTo = quarantineStore(path);
      getLogger("store").error("the database {path} is damaged and was moved to {movedTo}: {error}", {
        path,
        movedTo,
        error,
      });
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

/** At a start there is no one to allow an unauthenticated file. */
function requireAuthenticFile(snapshot: Snapshot, nodeKeyHashes: NodeKeyHashes | undefined): void {
  const { path, signed } = snapshot;
  if (authenticityOf(signed, nodeKeyHashes) === "verified")
    return log.info("the snapshot {file} is authenticated by a MAC with the node key", { file: path });
  throw new AppError(
    "invalid_request",
    `\`${path}\` is not authenticated: it has no MAC, because an older version made it, or someone without the node key. Make it again; or if you know where it comes from, use \`ostiary snapshot import --allow-unauthenticated\``,
  );
}

function isNewer({ path, manifest }: Snapshot, own: StoreState | undefined, history: string | undefined): boolean {
  if (own === undefined) return true;
  if (own.epoch === manifest.epoch) return own.offset < manifest.offset;
  if (manifest.term !== undefined && manifest.history === history) return manifest.term > own.term;
  log.warning("the snapshot {file} is of another epoch than this node's database, and was not imported", {
    file: path,
  });
  return false;
}

const readErrors: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "reading it is not permitted",
  EISDIR: "it is a directory",
};

/** An error about a snapshot file, with its name. */
export function snapshotFileError(path: string, error: unknown): AppError {
  const cause = error instanceof AppError ? (error.cause ?? error) : error;
  const why = readErrors[(error as NodeJS.ErrnoException).code ?? ""];
  if (why !== undefined) return new AppError("not_found", `\`${path}\` can't be read: ${why}`, { cause });
  const code = error instanceof AppError ? error.code : "invalid_request";
  return new AppError(code, `\`${path}\`: ${reasonOf(error)}`, { cause });
}
