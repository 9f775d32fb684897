/**
 * A queue of jobs for worker processes: work that may take long, in processes that can be killed at any time. Only a
 * few jobs run at a time, so that a client that may read cannot occupy the processors of the node. If jobs may be slow,
 * the others wait for each job only for a moment; a few such jobs may continue beside them.
 *
 * Slots in the queue, for running jobs and for slow jobs are shared among API keys (`util/slot-pool.ts`), and waiting
 * keys take turns (`util/fair-queue.ts`). Each environment has its own queues; those of hosted environments share
 * processes (`hosted-processes.ts`).
 */
import type { WorkerHandle } from "../../runtime/worker.ts";
import { inThisEnvironment } from "../../telemetry/current-environment.ts";
import { AppError } from "../../util/app-error.ts";
import { FairQueue } from "../../util/fair-queue.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import { type AnswerPart, AnswerParts, type PartSource } from "./answer-parts.ts";
import type { WorkerCommands } from "./engine-worker.ts";
import type { HostedProcesses, ProcessSlots } from "./hosted-processes.ts";
import { noLongerNeeded, type PooledWorker, type WorkerPool } from "./worker-pool.ts";

export interface WorkerQueueOptions {
  /** Waiting and running jobs together. */
  readonly waitingMax: number;
  /** Running jobs without slow ones. */
  readonly runningMax?: number;
  /** A job that has waited for so long is refused. */
  readonly waitMsMax?: number;
  readonly timeMsMax: number;
  readonly memoryBytesMax: number;
  /** After this time a job is slow: others no longer wait for it, as long as at most `max` slow jobs run. */
  readonly slow?: { readonly afterMs: number; readonly max: number };
  /** How many answers may be sent in parts at a time, and for how long each. */
  readonly parts?: { readonly max: number; readonly timeMsMax: number };
  /** Names the jobs in the text of a refusal. */
  readonly description: string;
  /** The errors for a job that takes too long, and for one that takes too much memory. */
  readonly timeoutMessage: string;
  readonly memoryMessage: string;
  /** The error instead of `timeoutMessage` for a job that waited for a processor for most of its time. */
  readonly busyMessage?: string;
  /** A pool that several queues share; by default the queue has its own, or that of `hosted`. */
  readonly pool?: WorkerPool;
  /** What the queues of this kind share if they are made in hosted environments. */
  readonly hosted: HostedProcesses;
}

export type WorkerPort = WorkerHandle<WorkerCommands, never>;

/** A worker process is reused while it uses at most this fraction of its memory limit. */
const reusableShare = 4;

interface WorkerJob {
  readonly holder: string;
  readonly begin: (port: WorkerPort) => Promise<unknown>;
  readonly work: (port: WorkerPort) => Promise<unknown>;
  /** Whether the worker continues after its first result. Throws if it may not. `hasLowPriority` is of the worker. */
  readonly continues: (pooled: PooledWorker, result: unknown, hasLowPriority: boolean) => boolean;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  waitTimer: ReturnType<typeof setTimeout> | undefined;
}

type JobRequest = Pick<WorkerJob, "holder" | "begin" | "work" | "continues">;

export class WorkerQueue {
  readonly #options: WorkerQueueOptions;
  readonly #pool: WorkerPool;
  readonly #queue = new FairQueue<WorkerJob>();
  /** Waiting and running jobs. */
  readonly #jobs: SlotPool;
  readonly #running: ProcessSlots;
  readonly #slow: ProcessSlots;
  readonly #partialAnswers: ProcessSlots;
  readonly #onFreeSlot = inThisEnvironment(() => this.#startNext());

  constructor(options: WorkerQueueOptions) {
    const { waitingMax, runningMax = 1, slow, parts, description, hosted } = options;
    this.#options = options;
    this.#pool = options.pool ?? hosted.poolOfThisEnvironment();
    this.#jobs = new SlotPool(waitingMax, description);
    this.#running = hosted.slots("running", runningMax, description);
    this.#slow = hosted.slots("slow", slow?.max ?? 0, description);
    this.#partialAnswers = hosted.slots("parts", parts?.max ?? 0, "large answers");
  }

  /**
   * Runs `work` in a worker process. `begin` runs before it; its time does not make the job slow. Throws
   * `too_many_requests` if too many jobs wait, `query_too_expensive` if the job takes too much time or memory, and
   * `not_ready` if other work of the machine left it too little time.
   * `holder` is the API key of the client.
   */
  run<T>(
    holder: string,
    work: (port: WorkerPort) => Promise<T>,
    begin: WorkerJob["begin"] = () => Promise.resolve(),
  ): Promise<T> {
    return this.#run<T>({ holder, work, begin, continues: () => false });
  }

  /**
   * As `run`, for an answer in parts: `work` returns the first one. The worker makes each further part while the client
   * reads the one before, for a limited time, beside other jobs. If `isLarge`, too many are refused before any work.
   */
  async runParts(
    holder: string,
    work: (port: WorkerPort) => Promise<AnswerPart>,
    begin: WorkerJob["begin"],
    isLarge: boolean,
  ): Promise<AnswerParts> {
    let hasSlot = isLarge;
    if (isLarge) this.#partialAnswers.acquire(holder);
    let source: PartSource | undefined;
    const continues = (pooled: PooledWorker, first: unknown, hasLowPriority: boolean): boolean => {
      if ((first as AnswerPart).isLast) return false;
      if (!hasSlot && !this.#partialAnswers.canAcquire(holder)) {
        const refusal = this.#partialAnswers.refusalError(holder);
        pooled.worker.terminate(refusal);
        throw refusal;
      }
      if (!hasSlot) this.#partialAnswers.acquire(holder);
      hasSlot = false;
      source = this.#continueParts(holder, pooled, hasLowPriority);
      return true;
    };
    try {
      const first = await this.#run<AnswerPart>({ holder, work, begin, continues });
      return new AnswerParts(first, source);
    } finally {
      if (hasSlot) this.#partialAnswers.release(holder);
    }
  }

  #continueParts(holder: string, pooled: PooledWorker, startsWithLowPriority: boolean): PartSource {
    const { parts, slow, timeoutMessage } = this.#options;
    let hasLowPriority = startsWithLowPriority;
    let isOver = false;
    const end = (isIdle: boolean): void => {
      if (isOver) return;
      isOver = true;
      timers.forEach(clearTimeout);
      this.#partialAnswers.release(holder);
      if (isIdle && !hasLowPriority) this.#returnToPool(pooled);
      else pooled.worker.terminate(new AppError("query_too_expensive", timeoutMessage));
    };
    const lowerPriority = (): void => {
      hasLowPriority = true;
      pooled.lowerPriority();
    };
    const timers = [setTimeout(lowerPriority, slow?.afterMs ?? 0), setTimeout(() => end(false), parts?.timeMsMax ?? 0)];
    return { next: () => pooled.worker.call("nextPart"), end };
  }

  async #run<T>(request: JobRequest): Promise<T> {
    this.#jobs.acquire(request.holder);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const job: WorkerJob = { ...request, resolve, reject, waitTimer: undefined };
    const refuse = (): void => {
      if (this.#queue.delete(job)) reject(this.#jobs.refusalError(job.holder));
    };
    const { waitMsMax } = this.#options;
    try {
      if (waitMsMax !== undefined) job.waitTimer = setTimeout(refuse, waitMsMax);
      this.#queue.add(job);
      this.#startNext();
      return (await promise) as T;
    } finally {
      this.#jobs.release(request.holder);
    }
  }

  #startNext(): void {
    const job = this.#queue.next((holder) => this.#running.canAcquire(holder, this.#onFreeSlot));
    if (job === undefined) return;
    clearTimeout(job.waitTimer);
    this.#running.acquire(job.holder);
    void this.#runJob(job);
    this.#startNext();
  }

  async #runJob(job: WorkerJob): Promise<void> {
    const { timeMsMax, memoryBytesMax, slow, timeoutMessage, memoryMessage, busyMessage } = this.#options;
    let pooled: PooledWorker;
    try {
      pooled = this.#pool.take(this);
    } catch (error) {
      job.reject(new AppError("not_ready", "no worker process could be started, try again", { cause: error }));
      return this.#freeSlot(job);
    }
    const end = (error: AppError): void => pooled.worker.terminate(error);
    // Reading it takes up to 0.2 ms of this thread.
    const waitedBeforeMs = busyMessage === undefined ? 0 : pooled.waitedMs();
    const timeOut = (): void => {
      const isBusy = busyMessage !== undefined && pooled.waitedMs() - waitedBeforeMs > timeMsMax / 2;
      end(isBusy ? new AppError("not_ready", busyMessage) : new AppError("query_too_expensive", timeoutMessage));
    };
    const timers = [setTimeout(timeOut, timeMsMax)];
    let [isSlow, hasMore] = [false, false];
    try {
      pooled.limitMemory(memoryBytesMax, new AppError("query_too_expensive", memoryMessage));
      await job.begin(pooled.worker);
      if (slow) {
        const becomeSlow = (): void => {
          if (!this.#slow.canAcquire(job.holder)) return end(this.#slow.refusalError(job.holder));
          isSlow = true;
          this.#slow.acquire(job.holder);
          pooled.lowerPriority();
          this.#freeSlot(job);
        };
        timers.push(setTimeout(becomeSlow, slow.afterMs));
      }
      const result = await job.work(pooled.worker);
      hasMore = job.continues(pooled, result, isSlow);
      job.resolve(result);
    } catch (error) {
      job.reject(error);
    } finally {
      timers.forEach(clearTimeout);
      if (isSlow) {
        this.#slow.release(job.holder);
        // Not reused: a process cannot raise its priority again.
        if (!hasMore) end(noLongerNeeded());
      } else {
        if (!hasMore) this.#returnToPool(pooled);
        this.#freeSlot(job);
      }
    }
  }

  /** A process whose memory is full of garbage would reach the limit with the next job. */
  #returnToPool(pooled: PooledWorker): void {
    if (pooled.memoryBytes() <= this.#options.memoryBytesMax / reusableShare) return this.#pool.keep(pooled, this);
    pooled.worker.terminate(noLongerNeeded());
  }

  #freeSlot({ holder }: WorkerJob): void {
    this.#running.release(holder);
    this.#startNext();
  }
}
