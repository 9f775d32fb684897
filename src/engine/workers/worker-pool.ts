/** A pool of idle worker processes, which wait for a moment for more work. */
import { spawnWorkerProcess, type WorkerProcess } from "../../runtime/worker-process.ts";
import type { WorkerKind } from "../../runtime/worker.ts";
import { AppError } from "../../util/app-error.ts";
import type { WorkerCommands } from "./engine-worker.ts";

export const engineWorker: WorkerKind = { name: "engine", entry: "engine/workers/engine-worker.ts" };

export type PooledWorker = WorkerProcess<WorkerCommands>;

/** How long an idle process is kept. */
const idleMs = 60_000;

export class WorkerPool {
  readonly #idle = new Map<PooledWorker, ReturnType<typeof setTimeout>>();

  /** Throws if the system cannot start a process. */
  take(): PooledWorker {
    const [known] = this.#idle;
    if (!known) return this.#spawn();
    const [pooled] = known;
    this.#forget(pooled);
    return pooled;
  }

  keep(pooled: PooledWorker): void {
    if (pooled.worker.hasExited) return;
    const end = (): void =>
      pooled.worker.terminate(new AppError("not_ready", "the worker process is no longer needed"));
    const timer = setTimeout(end, idleMs);
    timer.unref();
    this.#idle.set(pooled, timer);
  }

  #spawn(): PooledWorker {
    const pooled = spawnWorkerProcess<WorkerCommands>(engineWorker);
    void pooled.worker.exited.then(() => this.#forget(pooled));
    return pooled;
  }

  #forget(pooled: PooledWorker): void {
    clearTimeout(this.#idle.get(pooled));
    this.#idle.delete(pooled);
  }
}
