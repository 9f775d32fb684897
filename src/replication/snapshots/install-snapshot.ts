/** How a snapshot becomes this node's copy: fetched beside the present one, checked from end to end, and only then put in its place. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import type { Limits } from "../../config/limits.ts";
import { historyOf, nextStorePath } from "../../store/directory/data-directory.ts";
import { diskSpaceOf } from "../../store/directory/disk-space.ts";
import { requireKnownFormat, type SnapshotManifest } from "../../store/snapshot/snapshot-header.ts";
import { databaseFiles, removeFiles, snapshotTag, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { authenticityOf } from "../../store/snapshot/snapshot-mac.ts";
import { requireEnvironment, type StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { NodeClient } from "../transport/node-client.ts";
import type { HistoryGuard } from "../history-guard.ts";
import type { StorageStatus } from "../storage-status.ts";
import type { System } from "../system.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { unpackSnapshotInWorker } from "./snapshot-jobs.ts";

const log = getLogger("snapshot");

export interface InstalledSnapshot {
  readonly path: string;
  readonly state: StoreState;
  readonly tag: string;
}

export interface SnapshotInstallOptions {
  readonly primary: NodeClient;
  readonly directory: string;
  readonly environment: string;
  readonly limits: Limits;
  readonly system: System;
  /** Is told where the snapshot cannot be stored. */
  readonly storage?: StorageStatus;
  /** Which history may take the place of this node's. */
  readonly guard: HistoryGuard;
  /** For the MAC. */
  readonly nodeKeyHash: string | undefined;
  /** Where the copy stands that is replaced, where there is one that was answered from: whoever read it is not taken back. */
  readonly state?: StoreState | undefined;
}

/** Puts the primary's newest snapshot into the directory, or tells that the one with `knownTag` still is the newest. */
export async function fetchSnapshot(
  options: SnapshotInstallOptions,
  knownTag?: string,
): Promise<InstalledSnapshot | "unchanged"> {
  const { primary, directory, environment, system, storage, state: present, guard, nodeKeyHash } = options;
  // Stays for the next attempt until it is whole.
  const packed = join(directory, "incoming.zst");
  const startMs = system.clock.monotonicMs();
  log.debug("asking {url} for a snapshot", { url: primary.url });
  try {
    await requireOwnHistory(options);
    // Asked before the download: a node of another environment or an older version would fetch it again and again.
    const snapshot = await primary.snapshot(packed, knownTag, (manifest, signed) => {
      // One of an older version has no MAC: then what it comes over has to do, a connection to a node that knows the node key.
      authenticityOf(signed, nodeKeyHash);
      requireKnownFormat(manifest);
      requireEnvironment(manifest, environment);
      if (manifest.history !== undefined) guard.require(manifest.history, primary.url);
      if (present?.epoch === manifest.epoch && manifest.offset < present.offset)
        throw new Error(`the snapshot is of ${manifest.offset}, this copy had come to ${present.offset} already`);
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
      const installed = await installSnapshot(snapshot, { ...options, from: primary.url });
      storage?.recovered("snapshot");
      return installed;
    } finally {
      removeFiles([packed]);
    }
  } catch (error) {
    if (storageFailureIn(error) !== undefined) storage?.failed("snapshot", error, directory);
    metrics.snapshots.inc({ action: "failed" });
    throw error;
  }
}

/** Throws where the rest of the snapshot and the database in it do not fit: the disk would be full for nothing, and again at the next attempt. */
function requireDiskSpace(directory: string, { bytes, unpackedBytes }: SnapshotManifest, packed: string): void {
  const free = diskSpaceOf(directory)?.freeBytes;
  const neededBytes = Math.max(0, bytes - sizeOf(packed)) + unpackedBytes;
  if (free === undefined || free >= neededBytes) return;
  throw Object.assign(new Error(`a snapshot takes ${neededBytes} more bytes while it is unpacked, ${free} are free`), {
    code: "ENOSPC",
  });
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Nodes of older versions do not say in a snapshot which history it is of, and it may be large. */
async function requireOwnHistory({ guard, primary }: SnapshotInstallOptions): Promise<void> {
  if (guard.own === undefined) return;
  const { epochs } = await primary.head(undefined);
  guard.require(epochs[0]?.epoch, primary.url);
}

/** Where a snapshot is unpacked and checked. */
export function unpackPath(directory: string): string {
  return join(directory, "incoming.db");
}

/** Puts a snapshot, checked from end to end, into the directory as its present database. */
export async function installSnapshot(
  snapshot: Snapshot,
  {
    directory,
    limits,
    system,
    guard,
    from,
  }: Pick<SnapshotInstallOptions, "directory" | "limits" | "system" | "guard"> & {
    /** Where it comes from. */
    readonly from: string;
  },
): Promise<InstalledSnapshot> {
  const unpacked = unpackPath(directory);
  try {
    const { state, unpackMs, checkMs } = await unpackSnapshotInWorker(system, snapshot, unpacked, limits);
    guard.require(historyOf(unpacked), from);
    const path = nextStorePath(directory);
    installFile(unpacked, path);
    metrics.snapshots.inc({ action: "installed" });
    log.info("installed a snapshot at {offset}, unpacked in {unpackMs} ms and checked in {checkMs} ms", {
      offset: state.offset,
      unpackMs: Math.round(unpackMs),
      checkMs: Math.round(checkMs),
    });
    return { path, state, tag: snapshotTag(snapshot.manifest) };
  } finally {
    removeFiles(databaseFiles(unpacked));
  }
}
