/**
 * The history guard: decides whether a node may adopt the data of another node. Two nodes have the same history if they
 * share its first epoch, as after a restored backup or a promotion. A primary that was started on an empty directory,
 * because its volume is not mounted, has begun another history, and a node that adopted it would lose all facts. So the
 * node keeps its own history, reports the other one, and waits for an operator. The operator's approval (`ostiary
 * adopt-history`) names the other history and is consumed with it.
 */
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import { approvedHistory, knownHistory, noteHistory, noteRefused, consumeApproval } from "./history-notes.ts";
import { lastLedEpoch, tryToNoteReplaced } from "./role-notes.ts";

const log = getLogger("history");

/** What a client of other nodes has to know about histories. */
export interface HistoryFilter {
  /** The first epoch of this node's history. Undefined while it has none: then it adopts any history. */
  readonly own: string | undefined;
  /** Whether this node may follow a node with that first epoch. Reports the history of `from` if not. */
  admits(theirs: string | undefined, from: string): boolean;
  /** A node of this history knows a later primary than this replica does. */
  readonly onLaterFailover?: () => void;
}

export interface ForeignHistory {
  readonly history: string;
  readonly from: string;
}

/** Replaces the report that the data is old, which is a consequence of a foreign history. */
export function foreignHealth({ foreign }: { readonly foreign: ForeignHistory | undefined }): {
  readonly degraded?: string;
  readonly foreignHistory?: string;
} {
  if (foreign === undefined) return {};
  const { history } = foreign;
  return {
    degraded: `another node has a history (${history}) that shares no beginning with this one's: neither takes over from the other, an operator has to decide`,
    foreignHistory: history,
  };
}

const warningIntervalMs = 60_000;
/** How long a foreign history is reported after it was last seen. Nodes are asked every few seconds. */
const seenMs = 60_000;

/** The last foreign history that a node has seen. */
class SeenHistory {
  readonly #clock: Pick<Clock, "monotonicMs">;
  last: ForeignHistory | undefined;
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** The history, if it was seen within the last minute. */
  get recent(): ForeignHistory | undefined {
    return this.#clock.monotonicMs() - this.#seenAtMs < seenMs ? this.last : undefined;
  }

  /** Returns whether it has to be logged: another one immediately, the same one once a minute. */
  see(foreign: ForeignHistory): boolean {
    const nowMs = this.#clock.monotonicMs();
    const isNew = this.last?.history !== foreign.history;
    this.last = foreign;
    this.#seenAtMs = nowMs;
    if (!isNew && nowMs - this.#warnedAtMs < warningIntervalMs) return false;
    this.#warnedAtMs = nowMs;
    return true;
  }
}

export class HistoryGuard implements HistoryFilter {
  readonly #data: string;
  readonly #seen: SeenHistory;
  #own: string | undefined;

  constructor(data: string, clock: Pick<Clock, "monotonicMs">) {
    this.#data = data;
    this.#seen = new SeenHistory(clock);
    this.#own = knownHistory(data);
  }

  get own(): string | undefined {
    return this.#own;
  }

  /** The history that was refused within the last minute, unless its node has this node's history again. */
  get foreign(): ForeignHistory | undefined {
    return this.#seen.recent;
  }

  admits(theirs: string | undefined, from: string): boolean {
    if (this.#own === undefined) return true;
    if (theirs === this.#own) {
      if (this.#seen.last?.from === from) this.#forget();
      return true;
    }
    const approved = this.#approved();
    if (approved !== undefined && approved === theirs) return true;
    this.#refuse({ history: theirs ?? "unknown", from }, approved);
    return false;
  }

  /** If this node was a primary, it knows its successor from now on, also before it has fetched its events. */
  readonly onLaterFailover = (): void => {
    if (lastLedEpoch(this.#data) !== undefined) tryToNoteReplaced(this.#data);
  };

  /** AppError `conflict` if this node must not adopt that history. */
  require(theirs: string | undefined, from: string): void {
    if (this.admits(theirs, from)) return;
    throw new AppError(
      "conflict",
      `${from} has another history (${theirs}) than this node (${this.#own}): its data is not adopted`,
    );
  }

  /** The node's database now has that history. This consumes an approval of it. */
  adopt(history: string): void {
    const before = this.#own;
    this.#own = history;
    noteHistory(this.#data, history);
    if (this.#approved() === history) consumeApproval(this.#data, "adopt-history");
    const { last } = this.#seen;
    if (last === undefined || last.history === history) this.#forget();
    if (before !== undefined && before !== history)
      log.warning("this node has adopted the history {history}, it had {before} before", { history, before });
  }

  #forget(): void {
    noteRefused(this.#data, undefined);
    this.#seen.last = undefined;
  }

  #approved(): string | undefined {
    try {
      return approvedHistory(this.#data, "adopt-history");
    } catch (error) {
      log.error("{reason}", { reason: reasonOf(error) });
      return undefined;
    }
  }

  #refuse(foreign: ForeignHistory, approved: string | undefined): void {
    const { history, from } = foreign;
    if (this.#seen.last?.history !== history) noteRefused(this.#data, history);
    if (!this.#seen.see(foreign)) return;
    log.error(
      "{from} has another history ({history}) than this node ({own}): its data is not adopted, this node keeps its own. Was that node started on an empty directory? Mount its volume, or restore a backup there. If the new history is meant to replace this one: {command}",
      { from, history, own: this.#own, command: `ostiary adopt-history ${history} --data ${this.#data}` },
    );
    if (approved === undefined) return;
    const properties = { approved, from, history };
    log.error("the approval of the history {approved} has no effect: {from} has {history}", properties);
  }
}

/**
 * Notices that nodes around a primary have another history. Then one of them was started on a wrong or empty directory.
 * With the embedded broker and without peers, a primary notices it only when its edges send requests. It only raises an
 * alert: nodes of another history neither fence this primary nor begin an epoch here.
 */
export class ForeignHistoryMonitor implements HistoryFilter {
  readonly own: string;
  readonly #seen: SeenHistory;

  /** `own` is the first epoch of this primary's history. */
  constructor(own: string, clock: Pick<Clock, "monotonicMs">) {
    this.own = own;
    this.#seen = new SeenHistory(clock);
  }

  /** The other history that was seen within the last minute. */
  get foreign(): ForeignHistory | undefined {
    return this.#seen.recent;
  }

  admits(theirs: string | undefined, from: string): boolean {
    const { own } = this;
    if (theirs === own) return true;
    const history = theirs ?? "unknown";
    if (this.#seen.see({ history, from }))
      log.error(
        "{from} has another history ({theirs}) than this primary ({own}): they have no common beginning, so it does not follow. Was this primary started on an empty or a wrong directory? Stop it and mount its volume, restore a backup, or promote an edge. If this history is right, approve it on each of the others: {command}",
        { from, theirs: history, own, command: `ostiary adopt-history ${own} --data THEIR-DIRECTORY` },
      );
    return false;
  }
}
