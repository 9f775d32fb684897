/**
 * A queue for worker processes: work that may take long, in processes that can be ended whatever they do. Few pieces are worked on at a time: a node
 * is there to answer, and whoever may read must not be able to take its processors. Where pieces may be slow, each has a moment in which the
 * others wait for it; what takes longer goes on beside them, and of such only a few may go on.
 *
 * Places in the queue, at work and among the slow are shared out among API keys (`util/slot-pool.ts`), and those that wait have turns
 * (`util/fair-queue.ts`).
 */
import type { WorkerHandle } from "../../runtime/worker.ts";
import { AppError } from "../../util/app-error.ts";
import { FairQueue } from "../../util/fair-queue.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import { AnswerParts, type PartSource, type AnswerPart } from "./answer-parts.ts";
import type { WorkerCommands } from "./engine-worker.ts";
import { type PooledWorker, WorkerPool } from "./worker-pool.ts";

export interface WorkerQueueOptions {
  /** The most that may be there at a time, those at work included. */
  readonly waitingMax: number;
  /** How many may be at work, the slow ones apart. */
  readonly atWorkMax?: number;
  /** After this time in the queue a piece of work is refused. */
  readonly waitMsMax?: number;
  readonly timeMsMax: number;
  readonly memoryBytesMax: number;
  /** After this time others need not wait any longer, as long as no more than `max` pieces go on beside them. */
  readonly slow?: { readonly afterMs: number; readonly max: number };
  /** How many answers may be given in parts at a time, and for how long each. */
  readonly parts?: { readonly max: number; readonly timeMsMax: number };
  /** What the pieces of work are, in the text of a refusal. */
  readonly description: string;
  /** What is answered where one takes too long, and where it takes too much memory. */
  readonly timeoutMessage: string;
  readonly memoryMessage: string;
  /** Shared with other lanes; without it the lane has processes of its own. */
  readonly pool?: WorkerPool;
}

type WorkerPort = WorkerHandle<WorkerCommands, never>;

/** A process is kept while it takes no more than this part of its memory. */
const keptShare = 4;

interface WorkerJob {
  readonly holder: string;
  readonly begin: (worker: WorkerPort) => Promise<unknown>;
  readonly work: (worker: WorkerPort) => Promise<unknown>;
  /** Whether the process goes on working for what came of it. Throws where it may not. `givesWay` says whether everything else comes first already. */
  readonly lend: (cell: PooledWorker, result: unknown, givesWay: boolean) => boolean;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  waitTimer: ReturnType<typeof setTimeout> | undefined;
}

type JobRequest = Pick<WorkerJob, "holder" | "begin" | "work" | "lend">;

export class WorkerQueue {
  readonly #options: WorkerQueueOptions;
  readonly #cells: WorkerPool;
  readonly #queue = new FairQueue<WorkerJob>();
  /** Those that wait, and those at work. */
  readonly #present: SlotPool;
  readonly #atWork: SlotPool;
  readonly #slow: SlotPool;
  readonly #parted: SlotPool;

  constructor(options: WorkerQueueOptions) {
    const { waitingMax, atWorkMax = 1, slow, parts, description: what } = options;
    this.#options = options;
    this.#cells = options.pool ?? new WorkerPool();
    this.#present = new SlotPool(waitingMax, what);
    this.#atWork = new SlotPool(atWorkMax, what);
    this.#slow = new SlotPool(slow?.max ?? 0, what);
    this.#parted = new SlotPool(parts?.max ?? 0, "large answers");
  }

  /**
   * `begin` is what comes before `work` in a process that has just been started, and does not count where work may be slow. Throws
   * `too_many_requests` where too many wait, `query_too_expensive` where it takes too much time or memory.
   */
  run<T>(
    holder: string,
    work: (worker: WorkerPort) => Promise<T>,
    begin: WorkerJob["begin"] = () => Promise.resolve(),
  ): Promise<T> {
    return this.#placed<T>({ holder, work, begin, lend: () => false });
  }

  /**
   * The same for an answer in parts, of which `work` gives the first. The process makes the others while the client takes them, and waits for the client
   * no longer than it may. Meanwhile others have their turn. What `isLarge` is refused before any work where too many such answers are under way.
   */
  async runParts(
    holder: string,
    work: (worker: WorkerPort) => Promise<AnswerPart>,
    begin: WorkerJob["begin"],
    isLarge: boolean,
  ): Promise<AnswerParts> {
    let hasPlace = isLarge;
    if (isLarge) this.#parted.acquire(holder);
    let source: PartSource | undefined;
    const lend = (cell: PooledWorker, first: unknown, givesWay: boolean): boolean => {
      if ((first as AnswerPart).isLast) return false;
      if (!hasPlace && !this.#parted.canAcquire(holder)) {
        const refusal = this.#parted.refusalError(holder);
        cell.worker.terminate(refusal);
        throw refusal;
      }
      if (!hasPlace) this.#parted.acquire(holder);
      hasPlace = false;
      source = this.#lend(holder, cell, givesWay);
      return true;
    };
    try {
      const first = await this.#placed<AnswerPart>({ holder, work, begin, lend });
      return new AnswerParts(first, source);
    } finally {
      if (hasPlace) this.#parted.release(holder);
    }
  }

  #lend(holder: string, cell: PooledWorker, hasGivenWay: boolean): PartSource {
    const { parts, slow, timeoutMessage: late } = this.#options;
    let givesWay = hasGivenWay;
    let isOver = false;
    const end = (isIdle: boolean): void => {
      if (isOver) return;
      isOver = true;
      timers.forEach(clearTimeout);
      this.#parted.release(holder);
      if (isIdle && !givesWay) this.#leave(cell);
      else cell.worker.terminate(new AppError("query_too_expensive", late));
    };
    const giveWay = (): void => {
      givesWay = true;
      cell.lowerPriority();
    };
    const timers = [setTimeout(giveWay, slow?.afterMs ?? 0), setTimeout(() => end(false), parts?.timeMsMax ?? 0)];
    return { next: () => cell.worker.call("nextPart"), end };
  }

  async #placed<T>(asked: JobRequest): Promise<T> {
    this.#present.acquire(asked.holder);
    try {
      return await this.#queued<T>(asked);
    } finally {
      this.#present.release(asked.holder);
    }
  }

  #queued<T>(asked: JobRequest): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: WorkerJob = {
        ...asked,
        resolve: resolve as (result: unknown) => void,
        reject,
        waitTimer: undefined,
      };
      const { waitMsMax } = this.#options;
      if (waitMsMax !== undefined) job.waitTimer = setTimeout(() => this.#giveUp(job), waitMsMax);
      this.#queue.add(job);
      this.#next();
    });
  }

  #giveUp(job: WorkerJob): void {
    if (this.#queue.delete(job)) job.reject(this.#present.refusalError(job.holder));
  }

  #next(): void {
    const job = this.#queue.next((holder) => this.#atWork.canAcquire(holder));
    if (job === undefined) return;
    clearTimeout(job.waitTimer);
    this.#atWork.acquire(job.holder);
    void this.#work(job);
    this.#next();
  }

  async #work(job: WorkerJob): Promise<void> {
    const { timeMsMax, memoryBytesMax, slow, timeoutMessage: late, memoryMessage: large } = this.#options;
    const cell = this.#cellFor(job);
    if (!cell) return this.#passTurn(job);
    const end = (error: AppError): void => cell.worker.terminate(error);
    const timers = [setTimeout(() => end(new AppError("query_too_expensive", late)), timeMsMax)];
    let [isSlow, isLent] = [false, false];
    try {
      cell.limitMemory(memoryBytesMax, new AppError("query_too_expensive", large));
      await job.begin(cell.worker);
      if (slow) {
        const becomeSlow = (): void => {
          if (!this.#slow.canAcquire(job.holder)) return end(this.#slow.refusalError(job.holder));
          isSlow = true;
          this.#slow.acquire(job.holder);
          cell.lowerPriority();
          this.#passTurn(job);
        };
        timers.push(setTimeout(becomeSlow, slow.afterMs));
      }
      const result = await job.work(cell.worker);
      isLent = job.lend(cell, result, isSlow);
      job.resolve(result);
    } catch (error) {
      job.reject(error);
    } finally {
      timers.forEach(clearTimeout);
      if (isSlow) {
        this.#slow.release(job.holder);
        // Its priority would stay as low as it is.
        if (!isLent) end(new AppError("not_ready", "the process is not needed any more"));
      } else {
        if (!isLent) this.#leave(cell);
        this.#passTurn(job);
      }
    }
  }

  /** A process that is full of what the last piece left behind would reach its limit with the next one. */
  #leave(cell: PooledWorker): void {
    if (cell.memoryBytes() <= this.#options.memoryBytesMax / keptShare) return this.#cells.keep(cell);
    cell.worker.terminate(new AppError("not_ready", "the process is not needed any more"));
  }

  #passTurn({ holder }: WorkerJob): void {
    this.#atWork.release(holder);
    this.#next();
  }

  /** `undefined` where there is none, which the job is told. */
  #cellFor(job: WorkerJob): PooledWorker | undefined {
    try {
      return this.#cells.take();
    } catch (error) {
      const message = "no process could be started for what may take long, try again";
      job.reject(new AppError("not_ready", message, { cause: error }));
      return undefined;
    }
  }
}
