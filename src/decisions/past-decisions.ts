/** Explains logged decisions, and replays them under another policy, on the data of their time. */
import { AppError } from "../util/app-error.ts";
import type { DecisionFilter } from "./decision-store.ts";
import type { DecisionLog } from "./decision-log.ts";
import type { PastProcess, PastWorker } from "./past-process.ts";
import type { ChangedDecision, ExplainedDecision } from "./past-worker.ts";

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

export class PastDecisions {
  readonly #process: PastProcess;
  readonly #log: DecisionLog;

  constructor(process: PastProcess, log: DecisionLog) {
    this.#process = process;
    this.#log = log;
  }

  /**
   * Explains the decision with this id on the data of its time. AppError `not_found`, `gone` if the data of that time
   * cannot be reconstructed, `query_too_expensive` if it takes too much time or memory. `holder` is the API key.
   */
  async explain(id: string, holder: string) {
    const decision = await this.#log.find(id);
    const explained: ExplainedDecision = await this.#process.run(holder, (worker) =>
      worker.call("explain", { decision, ...this.#process.stateOptions }),
    );
    return { decision, ...explained };
  }

  /** Decides logged decisions again under another policy. AppError `invalid_policy`, and as `explain`. */
  replay(replay: Replay, holder: string): Promise<ReplayResult> {
    const { signal } = replay;
    return this.#process.run(holder, async (worker) => {
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

  async #replayIn(worker: PastWorker, replay: Replay): Promise<ReplayResult> {
    const { filter, limit, source, filename, onProgress } = replay;
    const { limits } = this.#process.stateOptions;
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
      const request = { decisions, source, filename, explanationsMax, ...this.#process.stateOptions };
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
}
