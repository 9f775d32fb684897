/**
 * Work aside from the thread that answers questions, each piece in a Worker of its own. One at a time: a node is there to answer, and whoever may
 * read must not be able to take its processors. What goes on too long is ended.
 */
import { spawnWorker, type WorkerHandle } from "../runtime/worker.ts";
import { AppError } from "../util/app-error.ts";
import type { AsideCommands } from "./aside-worker.ts";

export interface LaneOptions {
  /** The most that may be there at a time, the one at work included. */
  readonly waitingMax: number;
  readonly timeMsMax: number;
  /** What is answered where more come, and where one takes too long. */
  readonly full: string;
  readonly late: string;
}

export class AsideLane {
  readonly #options: LaneOptions;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Throws `too_many_requests` where too many wait, `query_too_expensive` where it takes too long. */
  async run<T>(work: (worker: WorkerHandle<AsideCommands, never>) => Promise<T>): Promise<T> {
    const { waitingMax, full } = this.#options;
    if (this.#waiting >= waitingMax) throw new AppError("too_many_requests", full);
    this.#waiting += 1;
    const turn = this.#last.then(() => this.#run(work));
    this.#last = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #run<T>(work: (worker: WorkerHandle<AsideCommands, never>) => Promise<T>): Promise<T> {
    const { timeMsMax, late } = this.#options;
    const worker = spawnWorker<AsideCommands>("aside");
    const timer = setTimeout(() => worker.terminate(new AppError("query_too_expensive", late)), timeMsMax);
    try {
      return await work(worker);
    } finally {
      clearTimeout(timer);
      worker.terminate(new AppError("not_ready", "the work is over"));
    }
  }
}
