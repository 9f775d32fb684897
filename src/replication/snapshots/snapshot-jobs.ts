/** Runs jobs on snapshots in worker threads. */
import { statSync } from "node:fs";
import type { Limits } from "../../config/limits.ts";
import type { WorkerHandle, WorkerKind } from "../../runtime/worker.ts";
import type { SnapshotManifest } from "../../store/snapshot/snapshot-header.ts";
import { databaseFiles, removeFiles, requireMatchingState, type Snapshot } from "../../store/snapshot/snapshot.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { secondCheckThreadBytes } from "../../util/tuning.ts";
import type { System } from "../system.ts";
import type { SnapshotCommands } from "./snapshot-commands.ts";

const log = getLogger("snapshot");

export const snapshotWorker: WorkerKind = {
  name: "snapshot",
  entry: "replication/snapshots/snapshot-worker.ts",
  // More jobs than these wait for each other.
  threadsMax: 16,
};

type WorkerSpawner = Pick<System, "spawnWorker">;

/** Gets the damage that was repaired from the facts. */
export type WarningListener = (problem: string) => void;

const logWarning: WarningListener = (warning) => log.warn("{warning}", { warning });

/** These functions take a system and the parameters of the command, which describes their result and errors. */
export const buildSnapshotInWorker = commandRunner("buildSnapshot");
export const buildBackupInWorker = commandRunner("buildBackup");
export const buildEnvironmentInWorker = commandRunner("buildEnvironment");
export const verifySnapshotInWorker = commandRunner("verifySnapshot");
export const auditDatabaseInWorker = commandRunner("auditDatabase");
export const auditDigestInWorker = commandRunner("auditDigest");

function commandRunner<Name extends keyof SnapshotCommands>(command: Name) {
  return (system: WorkerSpawner, ...parameters: Parameters<SnapshotCommands[Name]>) =>
    withWorkers(system, (spawn) => spawn().call(command, ...parameters));
}

interface CheckOptions {
  /** Migrates the database. */
  readonly convert?: boolean;
  /** Leaves out the digest of the content. The caller has to verify it with `auditDigestInWorker`. */
  readonly isDigestLater?: boolean;
}

/**
 * Unpacks a received snapshot. Returns its state and the duration of both steps. Throws, and leaves no file at `target`,
 * unless the database is sound and its content matches the manifest.
 */
export async function unpackSnapshotInWorker(
  system: WorkerSpawner,
  snapshot: Snapshot,
  target: string,
  limits: Limits,
  warn: WarningListener = logWarning,
  options: CheckOptions = {},
): Promise<{ readonly state: StoreState; readonly unpackMs: number; readonly checkMs: number }> {
  const { manifest } = snapshot;
  try {
    return await withWorkers(system, async (spawn) => {
      const content = spawn();
      const structure = manifest.unpackedBytes < secondCheckThreadBytes ? content : spawn();
      const startMs = performance.now();
      await content.call("unpackSnapshot", snapshot, target, limits.snapshotBytesMax);
      const unpackedMs = performance.now();
      const state = await checkDatabase(content, structure, target, limits, warn, { manifest, ...options });
      return { state, unpackMs: unpackedMs - startMs, checkMs: performance.now() - unpackedMs };
    });
  } catch (error) {
    removeFiles(databaseFiles(target));
    throw error;
  }
}

/** Returns the state of a sound database. Throws if it is not sound, or not a store. */
export function checkDatabaseInWorker(
  system: WorkerSpawner,
  path: string,
  limits: Limits,
  warn: WarningListener = logWarning,
): Promise<StoreState> {
  return withWorkers(system, (spawn) => {
    const content = spawn();
    const structure = statSync(path).size < secondCheckThreadBytes ? content : spawn();
    return checkDatabase(content, structure, path, limits, warn);
  });
}

type SnapshotWorker = WorkerHandle<SnapshotCommands, never>;

/** `manifest` is that of the snapshot that contained the database. */
async function checkDatabase(
  content: SnapshotWorker,
  structure: SnapshotWorker,
  path: string,
  limits: Limits,
  warn: WarningListener,
  { manifest, convert = false, isDigestLater = false }: CheckOptions & { readonly manifest?: SnapshotManifest } = {},
): Promise<StoreState> {
  const groups = await content.call("open", path, limits, convert);
  const checks = [
    ...groups.map((tables) => (worker: SnapshotWorker) => worker.call("checkTables", path, tables)),
    (worker: SnapshotWorker) => worker.call("checkPages", path),
  ];
  const performChecks = async (worker: SnapshotWorker): Promise<void> => {
    for (let check = checks.shift(); check !== undefined; check = checks.shift()) await check(worker);
  };
  const readContent = async (): Promise<StoreState> => {
    const state = await content.call("read", isDigestLater);
    await performChecks(content);
    return state;
  };
  const [state] = await Promise.all([readContent(), performChecks(structure)]);
  if (manifest !== undefined) requireMatchingState(state, manifest);
  const repaired = await content.call("repair");
  if (repaired !== undefined) warn(repaired);
  return state;
}

/** Ends all workers of a job with it, even if it fails: no one may read a file that is removed afterwards. */
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
