/** Runs the work on snapshots in its Worker, which lives only as long as a job: between jobs its memory is better spent elsewhere. */
import type { Limits } from "../config/limits.ts";
import { spawnWorker, type WorkerHandle } from "../runtime/worker.ts";
import type { Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import type { SnapshotCommands, SnapshotEvent } from "./snapshot-worker.ts";

const log = getLogger("snapshot");

export function buildSnapshotAside(storePath: string, directory: string): Promise<Snapshot> {
  return withWorker((worker) => worker.call("build", storePath, directory));
}

export function unpackSnapshotAside(snapshot: Snapshot, target: string, limits: Limits): Promise<State> {
  return withWorker((worker) => worker.call("unpack", snapshot, target, limits));
}

export function checkStoreAside(storePath: string, limits: Limits): Promise<State> {
  return withWorker((worker) => worker.call("check", storePath, limits));
}

/** Reads a copy that is in use from end to end; rejects where it is not what its digest says. */
export function auditCopyAside(storePath: string): Promise<void> {
  return withWorker((worker) => worker.call("audit", storePath));
}

async function withWorker<T>(job: (worker: WorkerHandle<SnapshotCommands, SnapshotEvent>) => Promise<T>): Promise<T> {
  const worker = spawnWorker<SnapshotCommands, SnapshotEvent>("snapshot");
  worker.onEvent(({ warning }) => log.warn("{warning}", { warning }));
  try {
    return await job(worker);
  } finally {
    await worker.stop();
  }
}
