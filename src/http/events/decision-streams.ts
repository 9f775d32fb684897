/**
 * Streams of logged decisions as server-sent events. Each stream reads the log behind its position, like a stream of
 * changes (`event-stream.ts`), so that a slow reader costs no memory. The log answers between two writes.
 */
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { DecisionFilter } from "../../decisions/decision-store.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import { type Exchange, holderOf } from "../middleware/exchange.ts";
import { type EventBatch, EventStream, messageWithId } from "./event-stream.ts";
import { streamHeaders } from "./event-streams.ts";
import { StreamAccess } from "./stream-access.ts";

/** The public id of the last decision that was examined. */
type Position = string;

export class DecisionStreams {
  readonly #node: Node;
  readonly #limits: Limits;
  readonly #log: DecisionLog;
  readonly #unsubscribe: () => void;
  readonly #open = new Set<EventStream<Position>>();
  readonly #slots: SlotPool;
  #isClosed = false;

  constructor(node: Node, limits: Limits, log: DecisionLog) {
    this.#node = node;
    this.#limits = limits;
    this.#log = log;
    this.#slots = new SlotPool(limits.decisionStreamsMax, "streams of decisions");
    this.#unsubscribe = log.subscribe(() => {
      for (const stream of this.#open) stream.notify();
    });
  }

  /** A response with the decisions behind `after`, by default with the next ones. */
  async open(
    exchange: Exchange,
    filter: DecisionFilter,
    after: string | undefined,
    authorization: string,
  ): Promise<Response> {
    const { received, closeConnection } = exchange;
    const holder = holderOf(exchange);
    if (this.#isClosed) throw new AppError("not_ready", "this node stops, ask another one");
    this.#slots.acquire(holder);
    let start: Position;
    try {
      // The first read would find out too late for an error that the log does not have the position.
      if (after !== undefined) await this.#after(filter, after, 1);
      start = after ?? (await this.#log.lastId());
    } catch (error) {
      this.#slots.release(holder);
      throw error;
    }
    const access = new StreamAccess(exchange, authorization, this.#node.clock, () => stream.notify());
    const stream = new EventStream<Position>(start, {
      node: this.#node,
      limits: this.#limits,
      requireAccess: () => access.require(),
      after: (position) => this.#after(filter, position, this.#limits.decisionsPageMax),
      idOf: (position) => position,
      closeConnection: () => closeConnection?.(received),
      onEnded: () => {
        access.end();
        this.#open.delete(stream);
        this.#slots.release(holder);
      },
    });
    this.#open.add(stream);
    return new Response(stream.body, { headers: streamHeaders });
  }

  /** Ends all streams and refuses new ones. */
  close(): void {
    this.#isClosed = true;
    this.#unsubscribe();
    for (const stream of this.#open) stream.stop();
  }

  async #after(filter: DecisionFilter, position: Position, limit: number): Promise<EventBatch<Position>> {
    const bytesMax = this.#limits.eventStreamBytesMax;
    const { decisions, next, hasMore } = await this.#log.read(filter, {
      after: position,
      order: "oldest",
      limit,
      bytesMax,
    });
    const text = decisions.map((decision) => messageWithId(decision.id, "ostiary.decision", decision)).join("");
    return { bytes: encoder.encode(text), next: next ?? position, hasMore };
  }
}

const encoder = new TextEncoder();
