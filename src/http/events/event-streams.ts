/**
 * All open streams of the change feed. They are woken together, and what comes after a place is read and written out once for all who are there, which
 * is nearly everybody: a hundred readers cost little more than their sockets. Where events come one upon the other, several are sent together.
 */
import type { Limits } from "../../config/limits.ts";
import type { ReadFrom, EventReader, EventPosition } from "../../replication/log/event-reader.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../replication/position.ts";
import { AppError } from "../../util/app-error.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import { cloudEventOf } from "./cloud-event.ts";
import type { LogReadQueue } from "./log-read-queue.ts";
import { EventStream, eventText, type EventBatchSource, type EventBatch } from "./event-stream.ts";
import { type Exchange, holderOf } from "../middleware/exchange.ts";
import { apiKeyFinder } from "../middleware/authentication.ts";

/** After it was told something, a stream waits so long for each stream that there is: that bounds how much of a node's time all of them may take. */
const restMsPerStream = 0.25;

export class EventStreams {
  readonly #node: Node;
  readonly #limits: Limits;
  readonly #findKey: ReturnType<typeof apiKeyFinder>;
  readonly #unsubscribe: (() => void) | undefined;
  readonly #open = new Set<EventStream>();
  readonly #places: SlotPool;
  readonly #reads: LogReadQueue;
  /** What is being read, by the place after which it comes: all streams at one place wait for the same. */
  readonly #reading = new Map<string, Promise<EventBatch>>();
  #wokeAtMs = Number.NEGATIVE_INFINITY;
  #wakeTimer: ReturnType<typeof setTimeout> | undefined;
  /** What was told last of what is newest, by the place after which it comes. */
  #newest: { readonly after: string; readonly told: EventBatch } | undefined;
  #closed = false;

  constructor(node: Node, limits: Limits, reads: LogReadQueue) {
    this.#reads = reads;
    this.#node = node;
    this.#limits = limits;
    this.#places = new SlotPool(limits.eventStreamsMax, "streams of events");
    this.#findKey = apiKeyFinder(node);
    this.#unsubscribe = node.events?.subscribe(() => this.#moved());
  }

  /**
   * An answer that tells what happens after a place, to whoever shows this `Authorization`, as long as its key is valid. Throws as `History.after`
   * does, `not_ready` where this node gets no events any more, `too_many_requests` where there are too many streams.
   */
  open(exchange: Exchange, history: EventReader, from: ReadFrom, authorization: string): Response {
    const { received, closeConnection: cut } = exchange;
    const holder = holderOf(exchange);
    if (this.#closed) throw new AppError("not_ready", "this node stops, ask another one");
    requireEvents(this.#node);
    if (!this.#places.canAcquire(holder)) throw this.#places.refusalError(holder);
    const { next: start } = history.read(from, { eventsMax: 0, bytesMax: 0 });
    const stream = new EventStream(start, {
      node: this.#node,
      limits: this.#limits,
      source: this.#sourceFor(history, authorization, holder),
      closeConnection: () => cut?.(received),
      onEnded: () => {
        this.#open.delete(stream);
        this.#places.release(holder);
      },
    });
    this.#open.add(stream);
    this.#places.acquire(holder);
    return new Response(stream.body, { headers: streamHeaders });
  }

  /** Ends all of them; no further ones are opened. Their readers go on elsewhere, or here after a restart. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    clearTimeout(this.#wakeTimer);
    for (const stream of this.#open) stream.stop();
  }

  #moved(): void {
    if (this.#open.size === 0 || this.#wakeTimer !== undefined) return;
    const restMs = this.#wokeAtMs + this.#open.size * restMsPerStream - performance.now();
    if (restMs <= 0) return this.#wake();
    this.#wakeTimer = setTimeout(() => this.#wake(), restMs);
  }

  #wake(): void {
    this.#wakeTimer = undefined;
    this.#newest = undefined;
    this.#wokeAtMs = performance.now();
    for (const stream of this.#open) stream.notify();
  }

  #sourceFor(history: EventReader, authorization: string, holder: string): EventBatchSource {
    return {
      requireAccess: () => {
        requireEvents(this.#node);
        if (this.#findKey(authorization) === undefined)
          throw new AppError("unauthorized", "the API key of this stream was removed");
      },
      after: (place) => this.#after(history, place, holder),
    };
  }

  #after(history: EventReader, place: EventPosition, holder: string): EventBatch | Promise<EventBatch> {
    const after = formatToken(place.epoch, place.offset);
    if (this.#newest?.after === after) return this.#newest.told;
    const known = this.#reading.get(after);
    if (known !== undefined) return known;
    const reading = this.#reads
      .read(holder, () => this.#readBatch(history, place, after))
      .finally(() => this.#reading.delete(after));
    this.#reading.set(after, reading);
    return reading;
  }

  #readBatch(history: EventReader, place: EventPosition, after: string): EventBatch {
    const { eventsPageMax: eventsMax, eventStreamBytesMax: bytesMax } = this.#limits;
    const { events, next, head } = history.read(place, { eventsMax, bytesMax });
    const text = events.map((event) => eventText(cloudEventOf(event, this.#node.environment))).join("");
    const told = { bytes: encoder.encode(text), next, hasMore: next.offset < head.offset };
    if (!told.hasMore) this.#newest = { after, told };
    return told;
  }
}

const encoder = new TextEncoder();

/** `X-Accel-Buffering`: nginx would keep events back until it has a bufferful. */
const streamHeaders = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
  "X-Accel-Buffering": "no",
};

/** AppError `not_ready` where nothing new comes here any more, or comes too late. */
function requireEvents(node: Node): void {
  node.engine();
  node.requireFresh();
  const { state, degraded } = node.health();
  if (state === "FENCED") throw new AppError("not_ready", `${degraded}: new events are not known here`);
}
