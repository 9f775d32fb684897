/** Runs the work on snapshots in its Worker, which lives only as long as a job: between jobs its memory is better spent elsewhere. */
import type { Limits } from "../config/limits.ts";
import type { WorkerHandle } from "../runtime/worker.ts";
import type { Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import type { SnapshotCommands, SnapshotEvent } from "./snapshot-commands.ts";
import type { System } from "./system.ts";

const log = getLogger("snapshot");

type Threads = Pick<System, "spawnWorker">;

export function buildSnapshotAside(system: Threads, storePath: string, directory: string): Promise<Snapshot> {
  return withWorker(system, (worker) => worker.call("build", storePath, directory));
}

export function unpackSnapshotAside(
  system: Threads,
  snapshot: Snapshot,
  target: string,
  limits: Limits,
): Promise<State> {
  return withWorker(system, (worker) => worker.call("unpack", snapshot, target, limits));
}

export function checkStoreAside(system: Threads, storePath: string, limits: Limits): Promise<State> {
  return withWorker(system, (worker) => worker.call("check", storePath, limits));
}

/** Reads a copy that is in use from end to end; rejects where it is not what its digest says. */
export function auditCopyAside(system: Threads, storePath: string): Promise<void> {
  return withWorker(system, (worker) => worker.call("audit", storePath));
}

async function withWorker<T>(
  system: Threads,
  job: (worker: WorkerHandle<SnapshotCommands, SnapshotEvent>) => Promise<T>,
): Promise<T> {
  const worker = system.spawnWorker<SnapshotCommands, SnapshotEvent>("snapshot");
  worker.onEvent(({ warning }) => log.warn("{warning}", { warning }));
  try {
    return await job(worker);
  } finally {
    await worker.stop();
  }
}
