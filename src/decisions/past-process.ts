/**
 * The process that answers from the data of earlier moments, one request at a time: the data have to be reconstructed in
 * a copy of the database (`past-state.ts`), which takes time, memory and disk. All three are limited.
 */
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Limits } from "../config/limits.ts";
import { formatBytes } from "../config/units.ts";
import { HostedProcesses, type ProcessSlots } from "../engine/workers/hosted-processes.ts";
import { spawnWorkerProcess, type WorkerProcess } from "../runtime/worker-process.ts";
import type { WorkerKind } from "../runtime/worker.ts";
import { diskSpaceOf, effectiveReserveBytes } from "../store/directory/disk-space.ts";
import { databaseFiles, removeFiles } from "../store/snapshot/snapshot.ts";
import { currentEnvironment } from "../telemetry/current-environment.ts";
import { AppError } from "../util/app-error.ts";
import { SlotPool } from "../util/slot-pool.ts";
import type { PastCommands } from "./past-worker.ts";
import type { PastStateOptions } from "./past-state.ts";

const worker: WorkerKind = { name: "past decisions", entry: "decisions/past-worker.ts" };

/** How long the copy of the database stays for the next request. */
const idleMs = 60_000;
/** Hosted environments whose process and copy stay. */
const idleHostedMax = 2;

const hosted = new HostedProcesses();
/** Hosted environments with an idle process, the one that was used last at the end. */
const idleHosted = new Set<PastProcess>();

type Process = WorkerProcess<PastCommands>;
export type PastWorker = Process["worker"];

export class PastProcess {
  readonly #storePath: () => string;
  readonly #directory: string | undefined;
  readonly #limits: Limits;
  readonly #slots: SlotPool;
  /** One request at a time, and a few of all hosted environments. */
  readonly #running: ProcessSlots;
  readonly #isHosted = currentEnvironment() !== undefined;
  /** Ends when the requests before have ended. */
  #last: Promise<unknown> = Promise.resolve();
  #process: Process | undefined;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /**
   * `storePath` returns the file of the current database, or throws `not_ready`. The copy is made in `directory`;
   * undefined for a node without one, which answers nothing.
   */
  constructor(storePath: () => string, limits: Limits, directory: string | undefined) {
    this.#storePath = storePath;
    this.#limits = limits;
    this.#directory = directory;
    const description = "questions about earlier data";
    this.#slots = new SlotPool(limits.decisionExplanationsWaitingMax, description);
    this.#running = hosted.slots("running", 1, description);
    // A process that was killed may have left a copy.
    if (directory !== undefined) removeFiles(databaseFiles(this.#copyPath));
  }

  /** What reconstructs an earlier moment. Throws `not_ready`, and `not_found` on a node without a data directory. */
  get stateOptions(): PastStateOptions {
    return { storePath: this.#storePath(), copyPath: this.#copyPath, limits: this.#limits };
  }

  /**
   * Runs `work` when the requests before have ended. `holder` is the API key. Rejects with AppError `too_many_requests`,
   * `query_too_expensive` if it takes too much time or memory, `not_ready`, and as `work` does.
   */
  async run<T>(holder: string, work: (worker: PastWorker) => Promise<T>): Promise<T> {
    this.#slots.acquire(holder);
    const result = this.#last.then(() => this.#work(work));
    this.#last = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.#slots.release(holder);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#end();
  }

  get #copyPath(): string {
    if (this.#directory === undefined) throw new AppError("not_found", "this node has no data directory");
    return join(this.#directory, "past-decisions.db");
  }

  async #work<T>(work: (worker: PastWorker) => Promise<T>): Promise<T> {
    await this.#turn();
    clearTimeout(this.#idleTimer);
    idleHosted.delete(this);
    try {
      if (this.#isClosed) throw new AppError("not_ready", "this node stops, ask another one");
      this.#requireDisk();
      return await this.#workIn(this.#started(), work);
    } finally {
      this.#running.release("");
      this.#keepIdle();
    }
  }

  /** Waits until fewer hosted environments are served, and takes the turn. Rejects after the time of one request. */
  async #turn(): Promise<void> {
    const endMs = performance.now() + this.#limits.decisionExplanationTimeMsMax;
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (this.#running.canAcquire("", resolve)) return this.#running.acquire("");
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw this.#running.refusalError("");
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
    }
  }

  async #workIn<T>(process: Process, work: (worker: PastWorker) => Promise<T>): Promise<T> {
    const { decisionExplanationTimeMsMax: timeMsMax } = this.#limits;
    const tooLong = `reconstructing the data of that time takes longer than ${timeMsMax} ms`;
    const timer = setTimeout(() => process.worker.terminate(new AppError("query_too_expensive", tooLong)), timeMsMax);
    try {
      return await work(process.worker);
    } finally {
      clearTimeout(timer);
    }
  }

  #keepIdle(): void {
    if (this.#isClosed) return;
    this.#idleTimer = setTimeout(() => this.#end(), idleMs);
    this.#idleTimer.unref();
    if (!this.#isHosted) return;
    idleHosted.add(this);
    const [oldest = this] = idleHosted;
    if (idleHosted.size > idleHostedMax) oldest.#end();
  }

  #started(): Process {
    if (this.#process !== undefined && !this.#process.worker.hasExited) return this.#process;
    const { queryMemoryBytesMax: bytesMax } = this.#limits;
    try {
      const process = spawnWorkerProcess<PastCommands>(worker, true);
      const tooMuch = `deciding and explaining take more than ${formatBytes(bytesMax)} of memory`;
      process.limitMemory(bytesMax, new AppError("query_too_expensive", tooMuch));
      return (this.#process = process);
    } catch (cause) {
      throw new AppError("not_ready", "no worker process could be started, try again", { cause });
    }
  }

  /** The copy must not take the space that the node needs for its data. */
  #requireDisk(): void {
    const { storePath, copyPath, limits } = this.stateOptions;
    const space = diskSpaceOf(dirname(copyPath));
    if (space === undefined) return;
    const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const neededBytes = 1.5 * databaseFiles(storePath).reduce((sum, path) => sum + sizeOf(path), 0);
    const reserveBytes = effectiveReserveBytes(space, limits.diskReserveBytes);
    if (space.freeBytes + sizeOf(copyPath) >= neededBytes + reserveBytes) return;
    throw new AppError(
      "not_ready",
      "the disk of this node has too little space for a copy of its data, which a question about earlier data needs: free space",
    );
  }

  #end(): void {
    clearTimeout(this.#idleTimer);
    idleHosted.delete(this);
    const process = this.#process;
    this.#process = undefined;
    process?.worker.terminate(new AppError("not_ready", "this node stops, ask another one"));
    if (this.#directory !== undefined) removeFiles(databaseFiles(this.#copyPath));
  }
}
