/** Worker processes without work, kept for a moment in case there is more. */
import type { WorkerKind } from "../../runtime/worker.ts";
import { type WorkerProcess, spawnWorkerProcess } from "../../runtime/worker-process.ts";
import { AppError } from "../../util/app-error.ts";
import type { WorkerCommands } from "./engine-worker.ts";

export const engineWorker: WorkerKind = { name: "engine", entry: "engine/workers/engine-worker.ts" };

export type PooledWorker = WorkerProcess<WorkerCommands>;

/** How long a process without work is kept. */
const idleMs = 60_000;

export class WorkerPool {
  readonly #idle = new Map<PooledWorker, ReturnType<typeof setTimeout>>();

  /** Throws where the system starts no process. */
  take(): PooledWorker {
    const [known] = this.#idle;
    if (!known) return this.#spawn();
    const [cell] = known;
    this.#forget(cell);
    return cell;
  }

  keep(cell: PooledWorker): void {
    if (cell.worker.hasExited) return;
    const end = (): void => cell.worker.terminate(new AppError("not_ready", "the process is not needed now"));
    const timer = setTimeout(end, idleMs);
    timer.unref();
    this.#idle.set(cell, timer);
  }

  #spawn(): PooledWorker {
    const cell = spawnWorkerProcess<WorkerCommands>(engineWorker);
    void cell.worker.exited.then(() => this.#forget(cell));
    return cell;
  }

  #forget(cell: PooledWorker): void {
    clearTimeout(this.#idle.get(cell));
    this.#idle.delete(cell);
  }
}
