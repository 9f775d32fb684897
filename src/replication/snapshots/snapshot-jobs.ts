/** Runs the work on snapshots in Workers, which live only as long as a job: between jobs their memory is better spent elsewhere. */
import { statSync } from "node:fs";
import type { Limits } from "../../config/limits.ts";
import type { WorkerHandle, WorkerKind } from "../../runtime/worker.ts";
import type { SnapshotManifest } from "../../store/snapshot/snapshot-header.ts";
import { databaseFiles, removeFiles, requireMatchingState, type Snapshot } from "../../store/snapshot/snapshot.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { System } from "../system.ts";
import type { SnapshotCommands } from "./snapshot-commands.ts";

const log = getLogger("snapshot");

export const snapshotWorker: WorkerKind = { name: "snapshot", entry: "replication/snapshots/snapshot-worker.ts" };

type WorkerSpawner = Pick<System, "spawnWorker">;

/** Hears of what could be mended from the facts. */
export type WarningListener = (problem: string) => void;

const logWarning: WarningListener = (warning) => log.warn("{warning}", { warning });

/** Without `nodeKeyHash` the snapshot has no MAC. */
export function buildSnapshotInWorker(
  system: WorkerSpawner,
  storePath: string,
  directory: string,
  nodeKeyHash?: string,
): Promise<Snapshot> {
  return withWorkers(system, (spawn) => spawn().call("build", storePath, directory, nodeKeyHash));
}

/** The same. */
export function buildBackupInWorker(
  system: WorkerSpawner,
  storePath: string,
  target: string,
  nodeKeyHash?: string,
): Promise<Snapshot> {
  return withWorkers(system, (spawn) => spawn().call("buildBackup", storePath, target, nodeKeyHash));
}

/** Throws AppError `invalid_request` where the file is not the one that was written. */
export function verifySnapshotInWorker(system: WorkerSpawner, snapshot: Snapshot): Promise<void> {
  return withWorkers(system, (spawn) => spawn().call("verify", snapshot));
}

export interface UnpackedSnapshot {
  readonly state: StoreState;
  /** How long both took. */
  readonly unpackMs: number;
  readonly checkMs: number;
}

/**
 * Unpacks a snapshot that was received, and tells where it stands. Throws, and leaves no file at `target`, unless it is sound and everything in it
 * is what the manifest says.
 */
export async function unpackSnapshotInWorker(
  system: WorkerSpawner,
  snapshot: Snapshot,
  target: string,
  limits: Limits,
  warn: WarningListener = logWarning,
): Promise<UnpackedSnapshot> {
  const { manifest } = snapshot;
  try {
    return await withWorkers(system, async (spawn) => {
      const content = spawn();
      const structure = manifest.unpackedBytes < secondWorkerBytesMin ? content : spawn();
      const startMs = performance.now();
      await content.call("unpack", snapshot, target, limits.snapshotBytesMax);
      const unpackedMs = performance.now();
      const state = await checkDatabase(content, structure, { path: target, limits, warn, manifest });
      return { state, unpackMs: unpackedMs - startMs, checkMs: performance.now() - unpackedMs };
    });
  } catch (error) {
    removeFiles(databaseFiles(target));
    throw error;
  }
}

/** Where a sound copy stands. Throws where it is not sound, or not a store. */
export function checkDatabaseInWorker(
  system: WorkerSpawner,
  path: string,
  limits: Limits,
  warn: WarningListener = logWarning,
): Promise<StoreState> {
  return withWorkers(system, (spawn) => {
    const content = spawn();
    const structure = statSync(path).size < secondWorkerBytesMin ? content : spawn();
    return checkDatabase(content, structure, { path, limits, warn, manifest: undefined });
  });
}

/** Reads a copy that is in use from end to end; rejects where it is not what its digest says. */
export function auditDatabaseInWorker(system: WorkerSpawner, storePath: string): Promise<void> {
  return withWorkers(system, (spawn) => spawn().call("audit", storePath));
}

/** The check of a smaller database takes less time than the start of a second thread. */
const secondWorkerBytesMin = 8 * 2 ** 20;

interface DatabaseCheckOptions {
  readonly path: string;
  readonly limits: Limits;
  readonly warn: WarningListener;
  /** Of the snapshot that it came out of. */
  readonly manifest: SnapshotManifest | undefined;
}

type SnapshotWorker = WorkerHandle<SnapshotCommands, never>;

async function checkDatabase(
  content: SnapshotWorker,
  structure: SnapshotWorker,
  { path, limits, warn, manifest }: DatabaseCheckOptions,
): Promise<StoreState> {
  await content.call("open", path, limits);
  const [state] = await Promise.all([content.call("read"), structure.call("checkStructure", path)]);
  if (manifest !== undefined) requireMatchingState(state, manifest);
  const mended = await content.call("mend");
  if (mended !== undefined) warn(mended);
  return state;
}

/** Whatever the job has spawned ends with it, also where it failed: nobody may still be reading a file that is taken away then. */
async function withWorkers<T>(system: WorkerSpawner, job: (spawn: () => SnapshotWorker) => Promise<T>): Promise<T> {
  const workers: SnapshotWorker[] = [];
  const spawn = (): SnapshotWorker => {
    const worker = system.spawnWorker<SnapshotCommands, never>(snapshotWorker);
    workers.push(worker);
    return worker;
  };
  try {
    return await job(spawn);
  } finally {
    await Promise.allSettled(workers.map((worker) => worker.stop()));
  }
}
