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

const log = getLogger("history");

const warningIntervalMs = 60_000;
/** How long a foreign history is reported after it was last seen. Nodes are asked every few seconds. */
const seenMs = 60_000;

/** What a client of other nodes has to know about histories. */
export interface HistoryFilter {
  /** The first epoch of this node's history. Undefined while it has none: then it adopts any history. */
  readonly own: string | undefined;
  /**
   * Whether this node may follow a node with that first epoch. Reports the history if not. `from` says where it was
   * seen.
   */
  admits(theirs: string | undefined, from: string): boolean;
}

export interface ForeignHistory {
  readonly history: string;
  readonly from: string;
}

/**
 * The part of a node's health about a foreign history. It replaces the report that the data is old, which is a
 * consequence.
 */
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

export class HistoryGuard implements HistoryFilter {
  readonly #data: string;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #own: string | undefined;
  #foreign: ForeignHistory | undefined;
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  /** `data` is the node's data directory. */
  constructor(data: string, clock: Pick<Clock, "monotonicMs">) {
    this.#data = data;
    this.#clock = clock;
    this.#own = knownHistory(data);
  }

  get own(): string | undefined {
    return this.#own;
  }

  /** The history that was refused within the last minute, unless its node has this node's history again. */
  get foreign(): ForeignHistory | undefined {
    return this.#clock.monotonicMs() - this.#seenAtMs < seenMs ? this.#foreign : undefined;
  }

  admits(theirs: string | undefined, from: string): boolean {
    if (this.#own === undefined) return true;
    if (theirs === this.#own) {
      if (this.#foreign?.from === from) this.#setForeign(undefined);
      return true;
    }
    const approved = this.#approved();
    if (approved !== undefined && approved === theirs) return true;
    this.#refuse({ history: theirs ?? "unknown", from }, approved);
    return false;
  }

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
    if (this.#foreign?.history === history || this.#foreign === undefined) this.#setForeign(undefined);
    if (before !== undefined && before !== history)
      log.warning("this node has adopted the history {history}, it had {before} before", { history, before });
  }

  #setForeign(foreign: ForeignHistory | undefined): void {
    if (this.#foreign?.history !== foreign?.history || foreign === undefined) noteRefused(this.#data, foreign?.history);
    this.#foreign = foreign;
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
    const isNew = this.#foreign?.history !== foreign.history;
    this.#setForeign(foreign);
    const nowMs = this.#clock.monotonicMs();
    this.#seenAtMs = nowMs;
    if (!isNew && nowMs - this.#warnedAtMs < warningIntervalMs) return;
    this.#warnedAtMs = nowMs;
    const { history, from } = foreign;
    log.error(
      "{from} has another history ({history}) than this node ({own}): its data is not adopted, this node keeps its own. Was that node started on an empty directory? Mount its volume, or restore a backup there. If the new history is meant to replace this one: {command}",
      { from, history, own: this.#own, command: `ostiary adopt-history ${history} --data ${this.#data}` },
    );
    if (approved !== undefined)
      log.error("the approval of the history {approved} has no effect: {from} has {history}", {
        approved,
        from,
        history,
      });
  }
}
