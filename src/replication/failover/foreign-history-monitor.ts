/**
 * Notices that nodes around a primary have another history. Then one of them was started on a wrong or empty directory.
 * With the embedded broker and without peers, a primary notices it only when its edges send requests. It only raises an
 * alert: nodes of another history neither fence this primary nor begin an epoch here.
 */
import { getLogger } from "../../telemetry/logger.ts";
import type { Clock } from "../../util/clock.ts";
import type { ForeignHistory, HistoryFilter } from "../history-guard.ts";

const log = getLogger("history");

const warningIntervalMs = 60_000;
/** Refused nodes send the next request within seconds. */
const seenMs = 60_000;

export class ForeignHistoryMonitor implements HistoryFilter {
  readonly #own: () => string;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #last: ForeignHistory | undefined;
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  /** `own` returns the first epoch of this primary's history. */
  constructor(own: () => string, clock: Pick<Clock, "monotonicMs">) {
    this.#own = own;
    this.#clock = clock;
  }

  get own(): string {
    return this.#own();
  }

  /** The other history that was seen within the last minute. */
  get foreign(): ForeignHistory | undefined {
    return this.#clock.monotonicMs() - this.#seenAtMs < seenMs ? this.#last : undefined;
  }

  admits(theirs: string | undefined, from: string): boolean {
    if (theirs === this.own) return true;
    const nowMs = this.#clock.monotonicMs();
    const isNew = this.#last === undefined || this.#last.history !== theirs;
    this.#last = { history: theirs ?? "unknown", from };
    this.#seenAtMs = nowMs;
    if (!isNew && nowMs - this.#warnedAtMs < warningIntervalMs) return false;
    this.#warnedAtMs = nowMs;
    log.error(
      "{from} has another history ({theirs}) than this primary ({own}): they have no common beginning, so it does not follow. Was this primary started on an empty or a wrong directory? Stop it and mount its volume, restore a backup, or promote an edge. If this history is right, approve it on each of the others: {command}",
      {
        from,
        theirs: this.#last.history,
        own: this.own,
        command: `ostiary adopt-history ${this.own} --data THEIR-DIRECTORY`,
      },
    );
    return false;
  }
}
