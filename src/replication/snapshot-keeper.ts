/**
 * The primary's snapshots, made when somebody asks: one build at a time, whoever comes meanwhile gets the same one, and a young one is given out
 * again although there are newer events, since its receiver reads the log from there anyway.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { removeFiles, type Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import { buildSnapshotAside } from "./snapshot-jobs.ts";
import type { System } from "./system.ts";

const log = getLogger("snapshot");

export interface SnapshotKeeper {
  get(): Promise<Snapshot>;
}

export function keepSnapshots(
  storePath: () => string,
  directory: string,
  reuseMs: number,
  present: () => State,
  system: Pick<System, "clock" | "spawnWorker">,
): SnapshotKeeper {
  const { clock } = system;
  let kept: { readonly snapshot: Snapshot; readonly builtMs: number } | undefined;
  let building: Promise<Snapshot> | undefined;

  const build = async (): Promise<Snapshot> => {
    const startMs = clock.monotonicMs();
    try {
      const snapshot = await buildSnapshotAside(system, storePath(), directory);
      removeOthers(directory, [snapshot.path, kept?.snapshot.path]);
      kept = { snapshot, builtMs: startMs };
      metrics.snapshots.inc({ action: "built" });
      const { offset, bytes } = snapshot.manifest;
      log.info("made a snapshot at {offset}, {bytes} bytes in {ms} ms", {
        offset,
        bytes,
        ms: Math.round(clock.monotonicMs() - startMs),
      });
      return snapshot;
    } catch (error) {
      metrics.snapshots.inc({ action: "failed" });
      throw error;
    } finally {
      building = undefined;
    }
  };

  const usable = (): Snapshot | undefined => {
    if (kept === undefined) return undefined;
    const { snapshot, builtMs } = kept;
    const { epoch, offset } = present();
    if (snapshot.manifest.epoch !== epoch) return undefined;
    return snapshot.manifest.offset === offset || clock.monotonicMs() - builtMs < reuseMs ? snapshot : undefined;
  };

  return {
    async get() {
      return usable() ?? (building ??= build());
    },
  };
}

/** The one before stays, for whoever is still reading it. */
function removeOthers(directory: string, keep: readonly (string | undefined)[]): void {
  const others = readdirSync(directory).map((name) => join(directory, name));
  removeFiles(others.filter((path) => path.endsWith(".zst") && !keep.includes(path)));
}
