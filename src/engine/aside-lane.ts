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
import { AnswerParts, type PartSource, type TextPart } from "./answer-parts.ts";
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
  /** How many answers may be given in parts at a time, and for how long each. */
  readonly parts?: { readonly max: number; readonly timeMsMax: number };
  /** What the pieces of work are, in the text of a refusal. */
  readonly what: string;
  /** What is answered where one takes too long, and where it takes too much memory. */
  readonly late: string;
  readonly large: string;
  /** Shared with other lanes; without it the lane has processes of its own. */
  readonly cells?: CellPool;
}

type Worker = WorkerHandle<AsideCommands, never>;

/** A process is kept while it takes no more than this part of its memory. */
const keptShare = 4;

interface Job {
  readonly holder: string;
  readonly begin: (worker: Worker) => Promise<unknown>;
  readonly work: (worker: Worker) => Promise<unknown>;
  /** Whether the process goes on working for what came of it. Throws where it may not. `givesWay` says whether everything else comes first already. */
  readonly lend: (cell: AsideCell, result: unknown, givesWay: boolean) => boolean;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  waitTimer: ReturnType<typeof setTimeout> | undefined;
}

type Asked = Pick<Job, "holder" | "begin" | "work" | "lend">;

export class AsideLane {
  readonly #options: LaneOptions;
  readonly #cells: CellPool;
  readonly #queue = new FairQueue<Job>();
  /** Those that wait, and those at work. */
  readonly #present: Places;
  readonly #atWork: Places;
  readonly #slow: Places;
  readonly #parted: Places;

  constructor(options: LaneOptions) {
    const { waitingMax, atWorkMax = 1, slow, parts, what } = options;
    this.#options = options;
    this.#cells = options.cells ?? new CellPool();
    this.#present = new Places(waitingMax, what);
    this.#atWork = new Places(atWorkMax, what);
    this.#slow = new Places(slow?.max ?? 0, what);
    this.#parted = new Places(parts?.max ?? 0, "large answers");
  }

  /**
   * `begin` is what comes before `work` in a process that has just been started, and does not count where work may be slow. Throws
   * `too_many_requests` where too many wait, `query_too_expensive` where it takes too much time or memory.
   */
  run<T>(
    holder: string,
    work: (worker: Worker) => Promise<T>,
    begin: Job["begin"] = () => Promise.resolve(),
  ): Promise<T> {
    return this.#placed<T>({ holder, work, begin, lend: () => false });
  }

  /**
   * The same for an answer in parts, of which `work` gives the first. The process makes the others while the client takes them, and waits for the client
   * no longer than it may. Meanwhile others have their turn. What `isLarge` is refused before any work where too many such answers are under way.
   */
  async runParts(
    holder: string,
    work: (worker: Worker) => Promise<TextPart>,
    begin: Job["begin"],
    isLarge: boolean,
  ): Promise<AnswerParts> {
    let hasPlace = isLarge;
    if (isLarge) this.#parted.take(holder);
    let source: PartSource | undefined;
    const lend = (cell: AsideCell, first: unknown, givesWay: boolean): boolean => {
      if ((first as TextPart).isLast) return false;
      if (!hasPlace && !this.#parted.mayTake(holder)) {
        const refusal = this.#parted.refusal(holder);
        cell.worker.terminate(refusal);
        throw refusal;
      }
      if (!hasPlace) this.#parted.take(holder);
      hasPlace = false;
      source = this.#lend(holder, cell, givesWay);
      return true;
    };
    try {
      const first = await this.#placed<TextPart>({ holder, work, begin, lend });
      return new AnswerParts(first, source);
    } finally {
      if (hasPlace) this.#parted.release(holder);
    }
  }

  #lend(holder: string, cell: AsideCell, hasGivenWay: boolean): PartSource {
    const { parts, slow, late } = this.#options;
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
      cell.giveWay();
    };
    const timers = [setTimeout(giveWay, slow?.afterMs ?? 0), setTimeout(() => end(false), parts?.timeMsMax ?? 0)];
    return { next: () => cell.worker.call("nextPart"), end };
  }

  async #placed<T>(asked: Asked): Promise<T> {
    this.#present.take(asked.holder);
    try {
      return await this.#queued<T>(asked);
    } finally {
      this.#present.release(asked.holder);
    }
  }

  #queued<T>(asked: Asked): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: Job = {
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
    const { timeMsMax, memoryBytesMax, slow, late, large } = this.#options;
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
          if (!this.#slow.mayTake(job.holder)) return end(this.#slow.refusal(job.holder));
          isSlow = true;
          this.#slow.take(job.holder);
          cell.giveWay();
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
  #leave(cell: AsideCell): void {
    if (cell.memoryBytes() <= this.#options.memoryBytesMax / keptShare) return this.#cells.keep(cell);
    cell.worker.terminate(new AppError("not_ready", "the process is not needed any more"));
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
