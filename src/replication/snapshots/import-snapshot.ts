/** A snapshot that somebody brought along as a file becomes the copy in a data directory: by a command, or when a node starts. */
import type { Config } from "../../config/config.ts";
import type { Limits } from "../../config/limits.ts";
import {
  historyOf,
  lockDirectory,
  currentStorePath,
  readNodeFile,
  removeReplacedStores,
  writeNodeFile,
} from "../../store/directory/data-directory.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { requireKnownFormat } from "../../store/snapshot/snapshot-header.ts";
import { openSnapshot, snapshotTag, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { type Authenticity, authenticityOf } from "../../store/snapshot/snapshot-mac.ts";
import { readState, requireEnvironment, type StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { reasonOf } from "../../util/reason.ts";
import type { OnStep } from "../progress.ts";
import { HistoryGuard } from "../history-guard.ts";
import { nodeKeyHashOf } from "../identity.ts";
import { realSystem, type System } from "../system.ts";
import { installSnapshot, unpackPath, type InstalledSnapshot } from "./install-snapshot.ts";
import { writeSnapshotMetadata } from "./snapshot-metadata.ts";
import { findVerifiedDatabase } from "./verified-database.ts";

const log = getLogger("snapshot");

/** The snapshot in the file. AppError names the file, and says why it can't be read or is of no use. */
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
  /** Replaces a copy that is there. */
  readonly force: boolean;
  readonly limits: Limits;
  /** For the MAC; undefined where it is not known. */
  readonly nodeKeyHash: string | undefined;
  /** Also a file whose MAC is missing or can't be verified. One whose MAC is wrong never is. */
  readonly allowUnauthenticated: boolean;
  readonly onStep?: OnStep;
}

export interface ImportedSnapshot extends InstalledSnapshot {
  readonly authenticity: Authenticity;
  /** Where the database of another history is kept whose place it took. */
  readonly previous: string | undefined;
}

/** Puts it into the directory of a node that does not run, once it is checked from end to end. AppError says why where that is refused. */
export async function importSnapshot(options: SnapshotImportOptions): Promise<ImportedSnapshot> {
  const { file, data, force, limits, nodeKeyHash, allowUnauthenticated, onStep } = options;
  const snapshot = openSnapshotFile(file);
  const authenticity = requireAuthentic(snapshot, nodeKeyHash, allowUnauthenticated);
  const directory = lockDirectory(data);
  try {
    requireImportTarget(data, snapshot, force);
    const guard = new HistoryGuard(data, realSystem.clock);
    onStep?.("unpacking", { path: unpackPath(data), bytes: snapshot.manifest.unpackedBytes, next: "checking" });
    const installed = await install(snapshot, data, limits, guard, realSystem);
    guard.adopt(must(historyOf(installed.path)));
    const previous = removeReplacedStores(data, false);
    // Who makes it a primary's one day has to begin an epoch of its own: others may have gone on from here.
    if (readNodeFile(data, "role") === undefined) writeNodeFile(data, "role", "fallback");
    return { ...installed, authenticity, previous };
  } finally {
    directory.unlock();
  }
}

/** AppError `invalid_request` where nothing shows that a node of this environment has made the file, unless that is allowed. */
export function requireAuthentic(
  { path, signed }: Snapshot,
  nodeKeyHash: string | undefined,
  allowUnauthenticated: boolean,
): Authenticity {
  let authenticity: Authenticity;
  try {
    authenticity = authenticityOf(signed, nodeKeyHash);
  } catch (error) {
    throw snapshotFileError(path, error);
  }
  if (authenticity === "verified" || allowUnauthenticated) return authenticity;
  throw new AppError(
    "invalid_request",
    authenticity === "absent"
      ? `\`${path}\` is not authenticated: it has no MAC, since an older version made it, or somebody without the node key. If you know where it comes from, use --allow-unauthenticated`
      : `\`${path}\` can't be authenticated: its MAC is verified with the node key, and none is given. Put it into OSTIARY_NODE_KEY; or if you know where the file comes from, use --allow-unauthenticated`,
  );
}

function requireImportTarget(data: string, { manifest }: Snapshot, force: boolean): void {
  if (readNodeFile(data, "role") === "primary")
    throw new AppError("conflict", `\`${data}\` is a primary's; import into the directory of an edge or a fallback`);
  const present = currentStorePath(data);
  if (present === undefined) return;
  const state = readStateAt(present);
  if (state !== undefined) requireEnvironment(state, manifest.environment);
  if (!force)
    throw new AppError(
      "conflict",
      `\`${data}\` has a copy already${state === undefined ? "" : `, at offset ${state.offset}`}; \`--force\` replaces it`,
    );
}

/** Undefined where the file is damaged too much to tell. */
function readStateAt(path: string): StoreState | undefined {
  try {
    const store = openStore(path, { readonly: true });
    try {
      return readState(store);
    } finally {
      store.close();
    }
  } catch {
    return undefined;
  }
}

async function install(
  snapshot: Snapshot,
  data: string,
  limits: Limits,
  guard: HistoryGuard,
  system: System,
): Promise<InstalledSnapshot> {
  const { path, manifest } = snapshot;
  try {
    if (manifest.history !== undefined) guard.require(manifest.history, "it");
    const installed = await installSnapshot(snapshot, { directory: data, limits, system, guard, from: "it" });
    writeSnapshotMetadata(data, { tag: snapshotTag(manifest), confirmedMs: manifest.madeMs });
    return installed;
  } catch (error) {
    throw snapshotFileError(path, error);
  }
}

/**
 * The path of the database that an edge or a fallback starts from: its own where that is sound, or what the configured snapshot holds where that
 * stands further on in the same epoch or in a later term, or where there is none. Undefined where there is neither. AppError where one is of another environment, or
 * where there is no copy and no such file either.
 */
export async function chooseInitialDatabase(
  { data, environment, limits, nodeKey, import: file }: Config,
  guard: HistoryGuard,
  system: System,
): Promise<string | undefined> {
  const own = await findVerifiedDatabase(data, environment, limits, system);
  if (file === undefined) return own;
  try {
    const snapshot = openSnapshotFile(file);
    requireEnvironment(snapshot.manifest, environment);
    if (own !== undefined && !isNewer(snapshot, readStateAt(own), guard.own)) return own;
    requireAuthenticFile(snapshot, nodeKeyHashOf({ nodeKey }));
    return (await install(snapshot, data, limits, guard, system)).path;
  } catch (error) {
    // What could be mended by a fetch is no reason not to start; what somebody has configured wrongly is, unless this node can do without, or has
    // started before.
    if (own === undefined && guard.own === undefined && error instanceof AppError && error.code !== "invalid_request")
      throw error;
    log.error("the snapshot {file} is not imported: {reason}", { file, reason: reasonOf(error) });
    return own;
  }
}

/** Nobody is there to allow it otherwise. */
function requireAuthenticFile(snapshot: Snapshot, nodeKeyHash: string | undefined): void {
  const { path, signed } = snapshot;
  if (authenticityOf(signed, nodeKeyHash) === "verified")
    return log.info("the snapshot {file} is authenticated by a MAC with the node key", { file: path });
  throw new AppError(
    "invalid_request",
    `\`${path}\` is not authenticated: it has no MAC, since an older version made it, or somebody without the node key. Make it anew; or if you know where it comes from, use \`ostiary snapshot import --allow-unauthenticated\``,
  );
}

function isNewer({ path, manifest }: Snapshot, own: StoreState | undefined, history: string | undefined): boolean {
  if (own === undefined) return true;
  if (own.epoch === manifest.epoch) return own.offset < manifest.offset;
  if (manifest.term !== undefined && manifest.history === history) return manifest.term > own.term;
  log.warning("the snapshot {file} is of another epoch than this node's copy, and is not imported", { file: path });
  return false;
}

const readErrors: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "reading it is not permitted",
  EISDIR: "it is a directory",
};

/** What is said of a file names it. */
export function snapshotFileError(path: string, error: unknown): AppError {
  const cause = error instanceof AppError ? (error.cause ?? error) : error;
  const why = readErrors[(error as NodeJS.ErrnoException).code ?? ""];
  if (why !== undefined) return new AppError("not_found", `\`${path}\` can't be read: ${why}`, { cause });
  const code = error instanceof AppError ? error.code : "invalid_request";
  return new AppError(code, `\`${path}\`: ${reasonOf(error)}`, { cause });
}
