/**
 * Explains logged decisions and replays them under another policy, in a process of its own, one request at a time: the
 * data of the time of a decision have to be reconstructed in a copy of the database. Time, memory and disk are limited.
 */
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Limits } from "../config/limits.ts";
import { formatBytes } from "../config/units.ts";
import type { Engine } from "../engine/engine.ts";
import { HostedProcesses, type ProcessSlots } from "../engine/workers/hosted-processes.ts";
import { spawnWorkerProcess, type WorkerProcess } from "../runtime/worker-process.ts";
import type { WorkerKind } from "../runtime/worker.ts";
import { diskSpaceOf, effectiveReserveBytes } from "../store/directory/disk-space.ts";
import { databaseFiles, removeFiles } from "../store/snapshot/snapshot.ts";
import { currentEnvironment } from "../telemetry/current-environment.ts";
import { AppError } from "../util/app-error.ts";
import { SlotPool } from "../util/slot-pool.ts";
import type { DecisionFilter } from "./decision-store.ts";
import type { DecisionLog } from "./decision-log.ts";
import type { ChangedDecision, ExplainedDecision, PastDecisionCommands } from "./past-decisions-worker.ts";

const worker: WorkerKind = { name: "past decisions", entry: "decisions/past-decisions-worker.ts" };

/** How long the copy of the database stays for the next explanation. */
const idleMs = 60_000;
/** Hosted environments whose process and copy stay. */
const idleHostedMax = 2;
/** Decisions that are replayed in one call; fewer if somebody waits for the progress. */
const replayedAtATime = { unseen: 500, shown: 100 };
/** Changed decisions of a replay with an explanation, and all that are listed. */
const explainedChangesMax = 20;
const listedChangesMax = 1000;

export interface Replay {
  readonly filter: DecisionFilter;
  /** At most so many decisions, from the newest on. */
  readonly limit: number;
  readonly source: string;
  readonly filename: string | null;
  /** Called with the number of decisions that were examined, after each call of the process. */
  readonly onProgress?: ((examined: number) => void) | undefined;
  /** Ends the replay, and its process, with AppError `request_aborted`. */
  readonly signal?: AbortSignal | undefined;
}

export interface ReplayResult {
  readonly replayed: number;
  readonly changed: readonly ChangedDecision[];
  /** How many decisions changed, listed or not. */
  readonly changedCount: number;
  readonly skipped: Readonly<Record<string, number>>;
  /** Whether all decisions that match were replayed. */
  readonly isComplete: boolean;
}

function cancelled(): AppError {
  return new AppError("request_aborted", "the replay was cancelled");
}

const hosted = new HostedProcesses();
/** Hosted environments with an idle process, the one that was used last at the end. */
const idleHosted = new Set<PastDecisions>();

type Process = WorkerProcess<PastDecisionCommands>;

export class PastDecisions {
  readonly #engine: () => Engine;
  readonly #limits: Limits;
  readonly #log: DecisionLog;
  readonly #slots: SlotPool;
  /** One request at a time, and a few of all hosted environments. */
  readonly #running: ProcessSlots;
  readonly #isHosted = currentEnvironment() !== undefined;
  /** Ends when the requests before have ended. */
  #last: Promise<unknown> = Promise.resolve();
  #process: Process | undefined;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /** `engine` returns the current engine, or throws `not_ready`. */
  constructor(engine: () => Engine, limits: Limits, log: DecisionLog) {
    this.#engine = engine;
    this.#limits = limits;
    this.#log = log;
    const description = "explanations of logged decisions";
    this.#slots = new SlotPool(limits.decisionExplanationsWaitingMax, description);
    this.#running = hosted.slots("running", 1, description);
    // A process that was killed may have left a copy.
    if (log.directory !== undefined) removeFiles(databaseFiles(this.#copyPath));
  }

  /**
   * Explains the decision with this id on the data of its time. AppError `not_found`, `gone` if the data of that time
   * cannot be reconstructed, `query_too_expensive` if it takes too much time or memory. `holder` is the API key.
   */
  async explain(id: string, holder: string) {
    const decision = await this.#log.find(id);
    const explained: ExplainedDecision = await this.#run(holder, (process) =>
      process.worker.call("explain", { decision, ...this.#stateOptions }),
    );
    return { decision, ...explained };
  }

  /** Decides logged decisions again under another policy. AppError `invalid_policy`, and as `explain`. */
  replay(replay: Replay, holder: string): Promise<ReplayResult> {
    const { signal } = replay;
    return this.#run(holder, async ({ worker }) => {
      if (signal?.aborted) throw cancelled();
      const cancel = (): void => worker.terminate(cancelled());
      signal?.addEventListener("abort", cancel);
      try {
        return await this.#replayIn(worker, replay);
      } finally {
        // The process works for the next request, which must not be cancelled.
        signal?.removeEventListener("abort", cancel);
      }
    });
  }

  async #replayIn(worker: Process["worker"], replay: Replay): Promise<ReplayResult> {
    const { filter, limit, source, filename, onProgress } = replay;
    const { limits } = this.#stateOptions;
    const sizeMax = onProgress === undefined ? replayedAtATime.unseen : replayedAtATime.shown;
    await worker.call("checkPolicy", { source, filename, limits });
    const changed: ChangedDecision[] = [];
    const skipped: Record<string, number> = {};
    let [replayed, examined, changedCount] = [0, 0, 0];
    const bytesMax = limits.decisionsPageBytesMax;
    // Half of the time may be needed by one page.
    const endMs = performance.now() + limits.decisionExplanationTimeMsMax / 2;
    for (let after: string | undefined; ;) {
      const size = Math.min(sizeMax, limit - examined);
      const page = await this.#log.read(filter, { after, order: "newest", limit: size, bytesMax });
      const { decisions, hasMore } = page;
      examined += decisions.length;
      const explanationsMax = Math.max(0, explainedChangesMax - changed.length);
      const request = { decisions, source, filename, explanationsMax, ...this.#stateOptions };
      const report = await worker.call("replay", request);
      replayed += report.replayed;
      changedCount += report.changed.length;
      changed.push(...report.changed.slice(0, listedChangesMax - changed.length));
      for (const [reason, count] of Object.entries(report.skipped)) skipped[reason] = (skipped[reason] ?? 0) + count;
      after = page.next;
      onProgress?.(examined);
      if (!hasMore || examined >= limit || performance.now() > endMs)
        return { replayed, changed, changedCount, skipped, isComplete: !hasMore };
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#end();
  }

  get #copyPath(): string {
    const { directory } = this.#log;
    if (directory === undefined) throw new AppError("not_found", "this node has no decision log");
    return join(directory, "past-decisions.db");
  }

  get #stateOptions() {
    return { storePath: this.#engine().path, copyPath: this.#copyPath, limits: this.#limits };
  }

  async #run<T>(holder: string, work: (process: Process) => Promise<T>): Promise<T> {
    this.#slots.acquire(holder);
    const result = this.#last.then(() => this.#work(work));
    this.#last = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.#slots.release(holder);
    }
  }

  async #work<T>(work: (process: Process) => Promise<T>): Promise<T> {
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

  async #workIn<T>(process: Process, work: (process: Process) => Promise<T>): Promise<T> {
    const { decisionExplanationTimeMsMax: timeMsMax } = this.#limits;
    const tooLong = `reconstructing the data of that time takes longer than ${timeMsMax} ms`;
    const timer = setTimeout(() => process.worker.terminate(new AppError("query_too_expensive", tooLong)), timeMsMax);
    try {
      return await work(process);
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
      const process = spawnWorkerProcess<PastDecisionCommands>(worker, true);
      const tooMuch = `deciding and explaining take more than ${formatBytes(bytesMax)} of memory`;
      process.limitMemory(bytesMax, new AppError("query_too_expensive", tooMuch));
      return (this.#process = process);
    } catch (cause) {
      throw new AppError("not_ready", "no worker process could be started, try again", { cause });
    }
  }

  /** The copy must not take the space that the node needs for its data. */
  #requireDisk(): void {
    const { storePath, copyPath, limits } = this.#stateOptions;
    const space = diskSpaceOf(dirname(copyPath));
    if (space === undefined) return;
    const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const neededBytes = 1.5 * databaseFiles(storePath).reduce((sum, path) => sum + sizeOf(path), 0);
    const reserveBytes = effectiveReserveBytes(space, limits.diskReserveBytes);
    if (space.freeBytes + sizeOf(copyPath) >= neededBytes + reserveBytes) return;
    throw new AppError(
      "not_ready",
      "the disk of this node has too little space for a copy of its data, which an explanation of a logged decision needs: free space",
    );
  }

  #end(): void {
    clearTimeout(this.#idleTimer);
    idleHosted.delete(this);
    const process = this.#process;
    this.#process = undefined;
    process?.worker.terminate(new AppError("not_ready", "this node stops, ask another one"));
    if (this.#log.directory !== undefined) removeFiles(databaseFiles(this.#copyPath));
  }
}
