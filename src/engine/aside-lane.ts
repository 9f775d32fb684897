/**
 * Work aside from the thread that answers questions, in processes that can be ended whatever they do. One piece at a time: a node is there to
 * answer, and whoever may read must not be able to take its processors. Where pieces may be slow, each has a moment in which the others wait
 * for it; what takes longer goes on beside them, and of such only a few may go on.
 */
import { type Cell, spawnCell } from "../runtime/cell.ts";
import type { WorkerHandle } from "../runtime/worker.ts";
import { AppError } from "../util/app-error.ts";
import type { AsideCommands } from "./aside-worker.ts";

export interface LaneOptions {
  /** The most that may be there at a time, those at work included. */
  readonly waitingMax: number;
  readonly timeMsMax: number;
  /** After this time others need not wait any longer, as long as no more than `max` pieces go on beside them. */
  readonly slow?: { readonly afterMs: number; readonly max: number };
  /** What is answered where more come, or where too many are slow, and where one takes too long. */
  readonly full: string;
  readonly late: string;
}

type Worker = WorkerHandle<AsideCommands, never>;

interface Job {
  readonly begin: (worker: Worker) => Promise<unknown>;
  readonly work: (worker: Worker) => Promise<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** How long a process without work is kept. */
const idleMs = 60_000;

export class AsideLane {
  readonly #options: LaneOptions;
  readonly #queue: Job[] = [];
  readonly #idle = new Map<Cell<AsideCommands>, ReturnType<typeof setTimeout>>();
  #hasTurn: Job | undefined;
  #slow = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /**
   * `begin` is what comes before `work` in a process that has just been started, and does not count where work may be slow. Throws
   * `too_many_requests` where too many wait, `query_too_expensive` where it takes too long.
   */
  run<T>(work: (worker: Worker) => Promise<T>, begin: Job["begin"] = () => Promise.resolve()): Promise<T> {
    const { waitingMax, full } = this.#options;
    const present = this.#queue.length + this.#slow + (this.#hasTurn ? 1 : 0);
    if (present >= waitingMax) return Promise.reject(new AppError("too_many_requests", full));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ begin, work, resolve: resolve as (result: unknown) => void, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#hasTurn) return;
    this.#hasTurn = this.#queue.shift();
    if (this.#hasTurn) void this.#work(this.#hasTurn);
  }

  async #work(job: Job): Promise<void> {
    const { timeMsMax, slow, late, full } = this.#options;
    const cell = this.#cellFor(job);
    if (!cell) return this.#passTurn();
    const end = (error: AppError): void => cell.worker.terminate(error);
    const timers = [setTimeout(() => end(new AppError("query_too_expensive", late)), timeMsMax)];
    let isSlow = false;
    try {
      await job.begin(cell.worker);
      if (slow) {
        const becomeSlow = (): void => {
          if (this.#slow >= slow.max) return end(new AppError("too_many_requests", full));
          isSlow = true;
          this.#slow += 1;
          cell.giveWay();
          this.#passTurn();
        };
        timers.push(setTimeout(becomeSlow, slow.afterMs));
      }
      job.resolve(await job.work(cell.worker));
    } catch (error) {
      job.reject(error);
    } finally {
      timers.forEach(clearTimeout);
      if (isSlow) {
        this.#slow -= 1;
        // It would go on giving way.
        end(new AppError("not_ready", "the process is not needed any more"));
      } else {
        this.#keep(cell);
        this.#passTurn();
      }
    }
  }

  #passTurn(): void {
    this.#hasTurn = undefined;
    this.#next();
  }

  /** `undefined` where there is none, which the job is told. */
  #cellFor(job: Job): Cell<AsideCommands> | undefined {
    try {
      return this.#takeCell();
    } catch (error) {
      const message = "no process could be started for what may take long, try again";
      job.reject(new AppError("not_ready", message, { cause: error }));
      return undefined;
    }
  }

  #takeCell(): Cell<AsideCommands> {
    const [known] = this.#idle;
    if (!known) return this.#spawn();
    const [cell, timer] = known;
    clearTimeout(timer);
    this.#idle.delete(cell);
    return cell;
  }

  #spawn(): Cell<AsideCommands> {
    const cell = spawnCell<AsideCommands>("aside");
    void cell.worker.exited.then(() => this.#forget(cell));
    return cell;
  }

  #keep(cell: Cell<AsideCommands>): void {
    if (cell.worker.hasExited) return;
    const end = (): void => cell.worker.terminate(new AppError("not_ready", "the process is not needed now"));
    const timer = setTimeout(end, idleMs);
    timer.unref();
    this.#idle.set(cell, timer);
  }

  #forget(cell: Cell<AsideCommands>): void {
    clearTimeout(this.#idle.get(cell));
    this.#idle.delete(cell);
  }
}
