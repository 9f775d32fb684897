/** How a snapshot becomes this node's copy: fetched beside the present one, checked from end to end, and only then put in its place. */
import { join } from "node:path";
import type { Limits } from "../config/limits.ts";
import { installStore, nextStore } from "../store/data-directory.ts";
import { databaseFiles, removeFiles, requireKnownFormat, snapshotTag } from "../store/snapshot.ts";
import { requireEnvironment, type State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import type { NodeClient } from "./node-client.ts";
import { unpackSnapshotAside } from "./snapshot-jobs.ts";
import type { System } from "./system.ts";

const log = getLogger("snapshot");

export interface Installed {
  readonly path: string;
  readonly state: State;
  readonly tag: string;
}

export interface InstallOptions {
  readonly primary: NodeClient;
  readonly directory: string;
  readonly environment: string;
  readonly limits: Limits;
  readonly system: System;
}

/** Puts the primary's newest snapshot into the directory, or tells that the one with `knownTag` still is the newest. */
export async function fetchSnapshot(options: InstallOptions, knownTag?: string): Promise<Installed | "unchanged"> {
  const { primary, directory, environment, limits, system } = options;
  const packed = join(directory, "incoming.db.zst");
  const unpacked = join(directory, "incoming.db");
  try {
    // Asked before the download: a node of another environment or an older version would fetch it again and again.
    const snapshot = await primary.snapshot(packed, knownTag, (manifest) => {
      requireKnownFormat(manifest);
      requireEnvironment(manifest, environment);
    });
    if (snapshot === "unchanged") {
      metrics.snapshots.inc({ action: "unchanged" });
      return "unchanged";
    }
    const state = await unpackSnapshotAside(system, snapshot, unpacked, limits);
    const path = nextStore(directory);
    installStore(unpacked, path);
    metrics.snapshots.inc({ action: "installed" });
    log.info("installed a snapshot at {offset}", { offset: state.offset });
    return { path, state, tag: snapshotTag(snapshot.manifest) };
  } catch (error) {
    metrics.snapshots.inc({ action: "failed" });
    throw error;
  } finally {
    removeFiles([packed, ...databaseFiles(unpacked)]);
  }
}
