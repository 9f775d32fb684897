/**
 * A queue for worker processes: work that may take long, in processes that can be ended whatever they do. Few pieces are worked on at a time: a node
 * is there to answer, and whoever may read must not be able to take its processors. Where pieces may be slow, each has a moment in which the
 * others wait for it; what takes longer goes on beside them, and of such only a few may go on.
 *
 * Places in the queue, at work and among the slow are shared out among API keys (`util/places.ts`), and those that wait have turns
 * (`util/fair-queue.ts`).
 */
import type { WorkerHandle } from "../runtime/worker.ts";
import { AppError } from "../util/app-error.ts";
import { FairQueue } from "../util/fair-queue.ts";
import { Places } from "../util/places.ts";
import type { AsideCommands } from "./aside-worker.ts";
import { type AsideCell, CellPool } from "./cell-pool.ts";

export interface LaneOptions {
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
  /** Whether everything else comes first where it wants the processor too. What is slow gives way in any case. */
  readonly givesWay?: boolean;
  /** What the pieces of work are, in the text of a refusal. */
  readonly what: string;
  /** What is answered where one takes too long, and where it takes too much memory. */
  readonly late: string;
  readonly large: string;
  /** Shared with other lanes of the same `givesWay`; without it the lane has processes of its own. */
  readonly cells?: CellPool;
}

type Worker = WorkerHandle<AsideCommands, never>;

interface Job {
  readonly holder: string;
  readonly begin: (worker: Worker) => Promise<unknown>;
  readonly work: (worker: Worker) => Promise<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  waitTimer: ReturnType<typeof setTimeout> | undefined;
}

export class AsideLane {
  readonly #options: LaneOptions;
  readonly #cells: CellPool;
  readonly #queue = new FairQueue<Job>();
  /** Those that wait, and those at work. */
  readonly #present: Places;
  readonly #atWork: Places;
  readonly #slow: Places;

  constructor(options: LaneOptions) {
    const { waitingMax, atWorkMax = 1, slow, what } = options;
    this.#options = options;
    this.#cells = options.cells ?? new CellPool();
    this.#present = new Places(waitingMax, what);
    this.#atWork = new Places(atWorkMax, what);
    this.#slow = new Places(slow?.max ?? 0, what);
  }

  /**
   * `begin` is what comes before `work` in a process that has just been started, and does not count where work may be slow. Throws
   * `too_many_requests` where too many wait, `query_too_expensive` where it takes too much time or memory.
   */
  async run<T>(
    holder: string,
    work: (worker: Worker) => Promise<T>,
    begin: Job["begin"] = () => Promise.resolve(),
  ): Promise<T> {
    this.#present.take(holder);
    try {
      return await this.#queued(holder, work, begin);
    } finally {
      this.#present.release(holder);
    }
  }

  #queued<T>(holder: string, work: (worker: Worker) => Promise<T>, begin: Job["begin"]): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: Job = {
        holder,
        begin,
        work,
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

  #giveUp(job: Job): void {
    if (this.#queue.delete(job)) job.reject(this.#present.refusal(job.holder));
  }

  #next(): void {
    const job = this.#queue.next((holder) => this.#atWork.mayTake(holder));
    if (job === undefined) return;
    clearTimeout(job.waitTimer);
    this.#atWork.take(job.holder);
    void this.#work(job);
    this.#next();
  }

  async #work(job: Job): Promise<void> {
    const { timeMsMax, memoryBytesMax, slow, givesWay, late, large } = this.#options;
    const cell = this.#cellFor(job);
    if (!cell) return this.#passTurn(job);
    const end = (error: AppError): void => cell.worker.terminate(error);
    const timers = [setTimeout(() => end(new AppError("query_too_expensive", late)), timeMsMax)];
    let isSlow = false;
    try {
      if (givesWay) cell.giveWay();
      cell.limitMemory(memoryBytesMax, new AppError("query_too_expensive", large));
      await job.begin(cell.worker);
      if (slow) {
        const becomeSlow = (): void => {
          if (!this.#slow.mayTake(job.holder)) return end(this.#slow.refusal(job.holder));
          isSlow = true;
          this.#slow.take(job.holder);
          cell.giveWay();
          this.#passTurn(job);
        };
        timers.push(setTimeout(becomeSlow, slow.afterMs));
      }
      job.resolve(await job.work(cell.worker));
    } catch (error) {
      job.reject(error);
    } finally {
      timers.forEach(clearTimeout);
      if (isSlow) {
        this.#slow.release(job.holder);
        // It would go on giving way.
        end(new AppError("not_ready", "the process is not needed any more"));
      } else {
        this.#cells.keep(cell);
        this.#passTurn(job);
      }
    }
  }

  #passTurn({ holder }: Job): void {
    this.#atWork.release(holder);
    this.#next();
  }

  /** `undefined` where there is none, which the job is told. */
  #cellFor(job: Job): AsideCell | undefined {
    try {
      return this.#cells.take();
    } catch (error) {
      const message = "no process could be started for what may take long, try again";
      job.reject(new AppError("not_ready", message, { cause: error }));
      return undefined;
    }
  }
}
