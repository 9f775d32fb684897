/** Idle worker processes, which wait for a moment for more work. Several queues may share them. */
import { spawnWorkerProcess, type WorkerProcess } from "../../runtime/worker-process.ts";
import type { WorkerKind } from "../../runtime/worker.ts";
import { AppError } from "../../util/app-error.ts";
import type { WorkerCommands } from "./engine-worker.ts";

export const engineWorker: WorkerKind = { name: "engine", entry: "engine/workers/engine-worker.ts" };

export type PooledWorker = WorkerProcess<WorkerCommands>;

/** How long an idle process is kept. */
const idleMs = 60_000;

interface IdleState {
  readonly timer: ReturnType<typeof setTimeout>;
  /** The queue of its last job. */
  readonly owner: object;
}

export class WorkerPool {
  readonly #idle = new Map<PooledWorker, IdleState>();

  /** A process for a job of the queue `owner`, if possible one of its own. Throws if the system cannot start a process. */
  take(owner: object): PooledWorker {
    const idle = [...this.#idle];
    const [known, state] = idle.find(([, each]) => each.owner === owner) ?? idle[0] ?? [];
    if (known === undefined) return this.#spawn();
    this.#forget(known);
    // Another queue may be of another environment. It could even be a new one with the same name, hence the same path.
    if (state?.owner !== owner) known.worker.notify("forget");
    return known;
  }

  keep(pooled: PooledWorker, owner: object): void {
    if (pooled.worker.hasExited) return;
    const timer = setTimeout(() => pooled.worker.terminate(noLongerNeeded()), idleMs);
    timer.unref();
    this.#idle.set(pooled, { timer, owner });
  }

  #spawn(): PooledWorker {
    const pooled = spawnWorkerProcess<WorkerCommands>(engineWorker);
    void pooled.worker.exited.then(() => this.#forget(pooled));
    return pooled;
  }

  #forget(pooled: PooledWorker): void {
    clearTimeout(this.#idle.get(pooled)?.timer);
    this.#idle.delete(pooled);
  }
}

export function noLongerNeeded(): AppError {
  return new AppError("not_ready", "the worker process is no longer needed");
}
