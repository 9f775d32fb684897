/**
 * Decides whether the data of another node may become this node's. Two histories belong together where they share their beginning, their first epoch:
 * a restored backup and a promoted edge do. A primary that was started on an empty directory, because its volume is not mounted, has begun another
 * history: a node that adopted it would lose all facts at once. So a node keeps its own, says so, and waits for an operator, whose approval
 * (`ostiary adopt-history`) names the other history and is used up with it.
 */
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import { approvedHistory, knownHistory, noteHistory, noteRefused, consumeApproval } from "./history-notes.ts";

const log = getLogger("history");

const warningIntervalMs = 60_000;
/** Nodes are asked again within seconds. One that does not answer any more is no node of another history. */
const seenMs = 60_000;

/** What those who ask other nodes have to know of histories. */
export interface HistoryFilter {
  /** The first epoch of this node's. Undefined while it has none: it then takes any. */
  readonly own: string | undefined;
  /** Whether a node with that first epoch, undefined where it has none, may be followed. What may not is reported. `from` says where it was seen. */
  admits(theirs: string | undefined, from: string): boolean;
}

export interface ForeignHistory {
  readonly history: string;
  readonly from: string;
}

/** What a node's health says of another history. It is worth more than that the node's copy gets old because of it. */
export function foreignHealth({ foreign }: { readonly foreign: ForeignHistory | undefined }): {
  readonly degraded?: string;
  readonly foreignHistory?: string;
} {
  if (foreign === undefined) return {};
  const { history } = foreign;
  return {
    degraded: `another node has a history (${history}) that shares no beginning with this one's: neither takes over from the other, an operator has to look`,
    foreignHistory: history,
  };
}

export class HistoryGuard implements HistoryFilter {
  readonly #data: string;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #own: string | undefined;
  #foreign: ForeignHistory | undefined;
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #complainedAtMs = Number.NEGATIVE_INFINITY;

  /** `data` is the node's directory. */
  constructor(data: string, clock: Pick<Clock, "monotonicMs">) {
    this.#data = data;
    this.#clock = clock;
    this.#own = knownHistory(data);
  }

  get own(): string | undefined {
    return this.#own;
  }

  /** The other history that was refused within the last minute, unless its node is of this one again. */
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

  /** AppError `conflict` where it may not. */
  require(theirs: string | undefined, from: string): void {
    if (this.admits(theirs, from)) return;
    throw new AppError(
      "conflict",
      `${from} has another history (${theirs}) than this node (${this.#own}): its data are not taken over`,
    );
  }

  /** The node's database is of that history. An approval of it is used up. */
  adopt(history: string): void {
    const before = this.#own;
    this.#own = history;
    noteHistory(this.#data, history);
    if (this.#approved() === history) consumeApproval(this.#data, "adopt-history");
    if (this.#foreign?.history === history || this.#foreign === undefined) this.#setForeign(undefined);
    if (before !== undefined && before !== history)
      log.warning("this node has taken over the history {history}, it had {before} before", { history, before });
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
    if (!isNew && nowMs - this.#complainedAtMs < warningIntervalMs) return;
    this.#complainedAtMs = nowMs;
    const { history, from } = foreign;
    log.error(
      "{from} has another history ({history}) than this node ({own}): its data are not taken over, this node goes on with its own. Was it started on an empty directory? Mount its volume, or restore a backup there. If the new history is meant to replace this one: {command}",
      { from, history, own: this.#own, command: `ostiary adopt-history ${history} --data ${this.#data}` },
    );
    if (approved !== undefined)
      log.error("the approval of the history {approved} does nothing here: {from} has {history}", {
        approved,
        from,
        history,
      });
  }
}
