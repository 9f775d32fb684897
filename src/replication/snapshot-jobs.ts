/** Runs the work on snapshots in its Worker, which lives only as long as a job: between jobs its memory is better spent elsewhere. */
import { spawnWorker, type WorkerHandle } from "../runtime/worker.ts";
import type { Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import type { SnapshotCommands } from "./snapshot-worker.ts";

export function buildSnapshotAside(storePath: string, directory: string): Promise<Snapshot> {
  return withWorker((worker) => worker.call("build", storePath, directory));
}

export function unpackSnapshotAside(snapshot: Snapshot, target: string, bytesMax: number): Promise<State> {
  return withWorker((worker) => worker.call("unpack", snapshot, target, bytesMax));
}

export function checkStoreAside(storePath: string): Promise<State> {
  return withWorker((worker) => worker.call("check", storePath));
}

async function withWorker<T>(job: (worker: WorkerHandle<SnapshotCommands, never>) => Promise<T>): Promise<T> {
  const worker = spawnWorker<SnapshotCommands>("snapshot");
  try {
    return await job(worker);
  } finally {
    await worker.stop();
  }
}
