/**
 * All open event streams. They are notified together, and the events after a position are read and encoded once for all
 * streams at that position, which are nearly all: a hundred readers cost little more than their sockets. Events that
 * occur shortly after one another are sent together.
 */
import type { Limits } from "../../config/limits.ts";
import { pauseMsPerEventStream } from "../../util/tuning.ts";
import type { ReadFrom, EventReader, EventPosition } from "../../log/reader/event-reader.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../log/event/position.ts";
import { AppError } from "../../util/app-error.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import { cloudEventOf } from "./cloud-event.ts";
import type { LogReadQueue } from "./log-read-queue.ts";
import { EventStream, eventText, type EventBatch } from "./event-stream.ts";
import { type Exchange, holderOf } from "../middleware/exchange.ts";
import { StreamAccess } from "./stream-access.ts";

export class EventStreams {
  readonly #node: Node;
  readonly #limits: Limits;
  readonly #unsubscribe: (() => void) | undefined;
  readonly #open = new Set<EventStream<EventPosition>>();
  readonly #slots: SlotPool;
  readonly #reads: LogReadQueue;
  /** Reads in progress, by the position: all streams at one position share a read. */
  readonly #reading = new Map<string, Promise<EventBatch<EventPosition>>>();
  #notifiedAtMs = Number.NEGATIVE_INFINITY;
  #notifyTimer: ReturnType<typeof setTimeout> | undefined;
  /** The last batch that reached the head of the log, by the position before it. */
  #newest: { readonly after: string; readonly batch: EventBatch<EventPosition> } | undefined;
  #closed = false;

  constructor(node: Node, limits: Limits, reads: LogReadQueue) {
    this.#reads = reads;
    this.#node = node;
    this.#limits = limits;
    this.#slots = new SlotPool(limits.eventStreamsMax, "event streams");
    this.#unsubscribe = node.events?.subscribe(() => this.#moved());
  }

  /**
   * Returns a response with the events after a position. The stream is open as long as the key or the token in
   * `authorization` is valid. Throws like `EventReader.read`, and `not_ready` if this node gets no events any more,
   * `too_many_requests` if there are too many streams.
   */
  open(exchange: Exchange, reader: EventReader, from: ReadFrom, authorization: string): Response {
    const { received, closeConnection } = exchange;
    const holder = holderOf(exchange);
    if (this.#closed) throw new AppError("not_ready", "this node stops, ask another one");
    requireEvents(this.#node);
    if (!this.#slots.canAcquire(holder)) throw this.#slots.refusalError(holder);
    const { next: start } = reader.read(from, { eventsMax: 0, bytesMax: 0 });
    const access = new StreamAccess(exchange, authorization, this.#node.clock, () => stream.notify());
    const stream = new EventStream(start, {
      node: this.#node,
      limits: this.#limits,
      requireAccess: () => {
        requireEvents(this.#node);
        access.require();
      },
      after: (position) => this.#after(reader, position, holder),
      idOf: ({ epoch, offset }) => formatToken(epoch, offset),
      closeConnection: () => closeConnection?.(received),
      onEnded: () => {
        access.end();
        this.#open.delete(stream);
        this.#slots.release(holder);
      },
    });
    this.#open.add(stream);
    this.#slots.acquire(holder);
    return new Response(stream.body, { headers: streamHeaders });
  }

  /** Ends all streams and refuses new ones. Their readers continue at another node, or here after a restart. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    clearTimeout(this.#notifyTimer);
    for (const stream of this.#open) stream.stop();
  }

  #moved(): void {
    // Also without an open stream: the next one can begin at the same position.
    this.#newest = undefined;
    if (this.#open.size === 0 || this.#notifyTimer !== undefined) return;
    const pauseMs = this.#notifiedAtMs + this.#open.size * pauseMsPerEventStream - performance.now();
    if (pauseMs <= 0) return this.#notify();
    this.#notifyTimer = setTimeout(() => this.#notify(), pauseMs);
  }

  #notify(): void {
    this.#notifyTimer = undefined;
    this.#notifiedAtMs = performance.now();
    for (const stream of this.#open) stream.notify();
  }

  #after(
    reader: EventReader,
    position: EventPosition,
    holder: string,
  ): EventBatch<EventPosition> | Promise<EventBatch<EventPosition>> {
    const after = formatToken(position.epoch, position.offset);
    if (this.#newest?.after === after) return this.#newest.batch;
    const known = this.#reading.get(after);
    if (known !== undefined) return known;
    const reading = this.#reads
      .read(holder, () => this.#readBatch(reader, position, after))
      .finally(() => this.#reading.delete(after));
    this.#reading.set(after, reading);
    return reading;
  }

  #readBatch(reader: EventReader, position: EventPosition, after: string): EventBatch<EventPosition> {
    const { eventsPageMax: eventsMax, eventStreamBytesMax: bytesMax } = this.#limits;
    const { events, next, head } = reader.read(position, { eventsMax, bytesMax });
    const text = events.map((event) => eventText(cloudEventOf(event, this.#node.environment))).join("");
    const batch = { bytes: encoder.encode(text), next, hasMore: next.offset < head.offset };
    if (!batch.hasMore) this.#newest = { after, batch };
    return batch;
  }
}

const encoder = new TextEncoder();

/** `X-Accel-Buffering` keeps nginx from buffering events. */
export const streamHeaders = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
  "X-Accel-Buffering": "no",
};

/** Throws AppError `not_ready` if this node gets no new events any more, or gets them too late. */
function requireEvents(node: Node): void {
  node.engine();
  node.requireFresh();
  const { state, degraded } = node.health();
  if (state === "FENCED") throw new AppError("not_ready", `${degraded}: this node gets no new events`);
}
