/** Fetches a snapshot and checks it beside the current database, which it then replaces. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { activeTextOf } from "../../policy/activation.ts";
import { installFile } from "../../runtime/atomic-file.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { historyOf, nextStorePath, readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";
import { isMigrated } from "../../store/directory/migrate.ts";
import { diskSpaceOf } from "../../store/directory/disk-space.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { requireKnownFormat, type SnapshotManifest } from "../../store/snapshot/snapshot-header.ts";
import { databaseFiles, removeFiles, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { authenticityOf } from "../../store/snapshot/snapshot-mac.ts";
import { requireEnvironment, type StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { NodeClient } from "../transport/node-client.ts";
import type { HistoryGuard } from "../history-guard.ts";
import type { StorageStatus } from "../../store/directory/storage-status.ts";
import type { NodeContext } from "../node-context.ts";
import { StorageError, storageFailureIn } from "../../util/storage-failure.ts";
import { secondCheckThreadBytes } from "../../util/tuning.ts";
import type { System } from "../system.ts";
import { unpackSnapshotInWorker } from "./snapshot-jobs.ts";

const log = getLogger("snapshot");

export interface InstalledSnapshot {
  readonly path: string;
  readonly state: StoreState;
  /** Whether the caller has to verify the digest of the content, with `auditDigestInWorker`. */
  readonly isDigestLater: boolean;
}

/** The node that installs a snapshot in its data directory. */
export type SnapshotContext = Pick<NodeContext, "environment" | "data" | "limits" | "system">;

export interface SnapshotInstallOptions {
  readonly primary: NodeClient;
  /** Throws while this process does not have the lock of the directory. */
  readonly requireLock?: (() => void) | undefined;
  readonly storage?: StorageStatus;
  /** Decides which history may replace this node's. */
  readonly guard: HistoryGuard;
  /** For the MAC. */
  readonly nodeKeyHashes: NodeKeyHashes | undefined;
  /** The state of the database to replace, if it answered queries: the state must not go back for their readers. */
  readonly state?: StoreState | undefined;
  /** Whether the caller verifies the digest of a large snapshot after it has opened it, if the MAC is valid. */
  readonly mayVerifyLater?: boolean;
}

/** Installs the primary's newest snapshot. Returns "unchanged" if the one with `knownTag` is still the newest. */
export async function fetchSnapshot(
  context: SnapshotContext,
  options: SnapshotInstallOptions,
  knownTag?: string,
): Promise<InstalledSnapshot | "unchanged"> {
  const { environment, data: directory, system } = context;
  const { primary, requireLock, storage, state, guard, nodeKeyHashes, mayVerifyLater = false } = options;
  // The file stays for the next attempt until it is complete.
  const packed = join(directory, "incoming.zst");
  const startMs = system.clock.monotonicMs();
  log.debug("requesting a snapshot from {url}", { url: primary.url });
  try {
    requireLock?.();
    await requireOwnHistory(options);
    // Checked before the download: otherwise a snapshot that cannot be used would be downloaded repeatedly.
    const snapshot = await primary.snapshot(packed, knownTag, (manifest, signed) => {
      // Older versions send no MAC. Then the connection to a node that knows the node key has to be enough.
      authenticityOf(signed, nodeKeyHashes);
      requireKnownFormat(manifest);
      requireEnvironment(manifest, environment);
      if (manifest.history !== undefined) guard.require(manifest.history, primary.url);
      if (state?.epoch === manifest.epoch && manifest.offset < state.offset)
        throw new Error(`the snapshot is at ${manifest.offset}, this replica is already at ${state.offset}`);
      requireDiskSpace(directory, manifest, packed);
    });
    if (snapshot === "unchanged") {
      log.debug("the snapshot of {url} is the one that this node has", { url: primary.url });
      metrics.snapshots.inc({ action: "unchanged" });
      return "unchanged";
    }
    log.info("fetched a snapshot at {offset}, {bytes} bytes in {fetchMs} ms", {
      offset: snapshot.manifest.offset,
      bytes: snapshot.size,
      fetchMs: Math.round(system.clock.monotonicMs() - startMs),
    });
    try {
      requireLock?.();
      const { signed, manifest } = snapshot;
      const isLarge = manifest.unpackedBytes >= secondCheckThreadBytes;
      const isDigestLater = mayVerifyLater && isLarge && authenticityOf(signed, nodeKeyHashes) === "verified";
      const installed = await installSnapshot(context, snapshot, guard, primary.url, isDigestLater);
      storage?.recovered("snapshot");
      return installed;
    } finally {
      removeFiles([packed]);
    }
  } catch (error) {
    // Without the directory no file can be created in it, which alone is no failure of the storage.
    const failure = existsSync(directory) ? error : new StorageError("STORE_REPLACED", `${directory} does not exist`);
    if (storageFailureIn(failure) !== undefined) storage?.failed("snapshot", failure, directory);
    metrics.snapshots.inc({ action: "failed" });
    throw error;
  }
}

/** Throws if the rest of the snapshot and its database have no space. Otherwise each attempt would fill the disk. */
function requireDiskSpace(directory: string, { bytes, unpackedBytes }: SnapshotManifest, packed: string): void {
  const free = diskSpaceOf(directory)?.freeBytes;
  const received = statSync(packed, { throwIfNoEntry: false })?.size ?? 0;
  const neededBytes = Math.max(0, bytes - received) + unpackedBytes;
  if (free === undefined || free >= neededBytes) return;
  throw Object.assign(new Error(`unpacking the snapshot needs ${neededBytes} more bytes, ${free} are free`), {
    code: "ENOSPC",
  });
}

/** A snapshot may be large, and older versions do not name its history. So this asks for the node's head first. */
async function requireOwnHistory({ guard, primary }: SnapshotInstallOptions): Promise<void> {
  if (guard.own === undefined) return;
  const { epochs } = await primary.head(undefined);
  guard.require(epochs[0]?.epoch, primary.url);
}

export function unpackPath(directory: string): string {
  return join(directory, "incoming.db");
}

/**
 * Unpacks and checks a snapshot completely, unless its digest is verified later, and installs it as the current
 * database. Errors name the sender.
 */
export async function installSnapshot(
  { data: directory, limits, system }: Omit<SnapshotContext, "environment">,
  snapshot: Snapshot,
  guard: HistoryGuard,
  sender: string,
  isDigestLater = false,
): Promise<InstalledSnapshot> {
  const unpacked = unpackPath(directory);
  try {
    // After `ostiary migrate`, a primary that is not migrated yet may send an older format.
    const convert = isMigrated(directory);
    const unpacking = unpackSnapshotInWorker(system, snapshot, unpacked, limits, undefined, {
      convert,
      isDigestLater,
    });
    const { state, unpackMs, checkMs } = await unpacking;
    guard.require(historyOf(unpacked), sender);
    await compilePolicyOf(unpacked, system);
    const path = nextStorePath(directory);
    installFile(unpacked, path);
    metrics.snapshots.inc({ action: "installed" });
    log.info("installed a snapshot at {offset}, unpacked in {unpackMs} ms and checked in {checkMs} ms", {
      offset: state.offset,
      unpackMs: Math.round(unpackMs),
      checkMs: Math.round(checkMs),
    });
    return { path, state, isDigestLater };
  } finally {
    removeFiles(databaseFiles(unpacked));
  }
}

/** The policy of the database at `path`, which will answer soon. */
async function compilePolicyOf(path: string, { compileAhead }: System): Promise<void> {
  if (compileAhead === undefined) return;
  const store = openStore(path, { readonly: true });
  let text: ReturnType<typeof activeTextOf>;
  try {
    text = activeTextOf(store);
  } finally {
    store.close();
  }
  if (text !== undefined) await compileAhead(text.source, text.filename);
}

/** Metadata of a database from a snapshot: which snapshot it is, and when it was last known to be the newest. */
const metadataSchema = z.object({ tag: z.string(), confirmedMs: z.number() });
export type SnapshotMetadata = z.infer<typeof metadataSchema>;
const metadataFile = "snapshot.json";

/** Undefined if there is none that can be read. Then the age of the database is counted from its last event. */
export function readSnapshotMetadata(data: string): SnapshotMetadata | undefined {
  try {
    return metadataSchema.parse(JSON.parse(readNodeFile(data, metadataFile) ?? "null"));
  } catch {
    return undefined;
  }
}

export function writeSnapshotMetadata(data: string, metadata: SnapshotMetadata): void {
  writeNodeFile(data, metadataFile, JSON.stringify(metadata));
}
