/**
 * One stream of server-sent events: an answer that goes on as things happen. Nothing is kept for its reader: what he has not taken is in the log, and
 * is read from there, a page at a time, when his connection takes more. So one who reads slowly costs no memory, and only one who takes nothing any
 * more is given up. A stream never leaves anything out: where it can't go on, it says so and ends.
 */
import type { Limits } from "../../config/limits.ts";
import type { EventPosition } from "../../replication/log/event-reader.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../replication/position.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import type { CloudEvent } from "./cloud-event.ts";

const logger = getLogger("events");

/** What a stream tells, and whether it still may. */
export interface EventBatchSource {
  /** AppError `unauthorized` where the reader's key was removed, `not_ready` where that can't be known or nothing comes here any more. */
  requireAccess(): void;
  /** What comes after a place. Throws as `History.after` does. */
  after(place: EventPosition): EventBatch | Promise<EventBatch>;
}

export interface EventBatch {
  /** As it is sent; empty where there is nothing new. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly next: EventPosition;
  /** Whether there is more already. */
  readonly hasMore: boolean;
}

export interface EventStreamOptions {
  readonly node: Node;
  readonly limits: Limits;
  readonly source: EventBatchSource;
  /** Ends the connection, also where its peer takes nothing. */
  readonly closeConnection: () => void;
  readonly onEnded: () => void;
}

/** Why a stream ended, as `/metrics` counts it. */
type StreamEndReason = "client" | "end" | "gone" | "unauthorized" | "slow" | "stop";

/** With what it ends. */
interface FinalMessage {
  readonly ending: StreamEndReason;
  readonly text: string;
}

export class EventStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: EventStreamOptions;
  #place: EventPosition;
  /** There may be events that were not sent. */
  #moved = true;
  /** Ends the wait for more, where there is one. */
  #wake: (() => void) | undefined;
  #stallTimer: ReturnType<typeof setTimeout> | undefined;
  #last: FinalMessage | undefined;
  #ended = false;

  constructor(start: EventPosition, options: EventStreamOptions) {
    this.#place = start;
    this.#options = options;
    metrics.eventStreams.inc();
    logger.debug("an event stream begins after {offset}", { ...start });
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(encoder.encode(opening(start))),
        pull: (controller) => this.#pull(controller),
        cancel: () => this.#end("client"),
      },
      { highWaterMark: 0 },
    );
  }

  /** There may be something new. */
  notify(): void {
    this.#moved = true;
    this.#wake?.();
  }

  /** Ends it. A reader who waits is told so, one who is behind is cut off: what he has not taken would keep the node from stopping. */
  stop(): void {
    this.#last = { ending: "stop", text: message("end", { message: "this node stops, go on at another one" }) };
    if (this.#wake === undefined) this.#closeConnection("stop");
    else this.notify();
  }

  /** The connection takes more: gives it what there is, as soon as there is something. */
  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    clearTimeout(this.#stallTimer);
    const bytes = await this.#next();
    if (this.#ended) return;
    controller.enqueue(bytes);
    if (this.#last === undefined) {
      this.#stallTimer = setTimeout(() => this.#closeConnection("slow"), this.#options.limits.eventStallMs);
    } else {
      this.#end(this.#last.ending);
      controller.close();
    }
  }

  /** What is sent next; a sign of life where nothing happens. */
  async #next(): Promise<Uint8Array> {
    const heartbeatAtMs = performance.now() + this.#options.limits.eventHeartbeatMs;
    for (;;) {
      const leftMs = heartbeatAtMs - performance.now();
      if (this.#moved || leftMs <= 0) {
        const bytes = await this.#read();
        if (this.#ended) return heartbeat;
        if (bytes.byteLength > 0) return bytes;
        if (leftMs <= 0) return heartbeat;
      }
      if (!this.#moved) await this.#change(leftMs);
      if (this.#ended) return heartbeat;
    }
  }

  /** Resolves when something may have happened, at the latest after `waitMs`. */
  async #change(waitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, waitMs);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }

  /** Events, or why there are no more; empty where there is nothing to say. */
  async #read(): Promise<Uint8Array> {
    const { source: feed, node } = this.#options;
    this.#moved = false;
    try {
      if (this.#last === undefined) {
        feed.requireAccess();
        const { bytes, next, hasMore: more } = await feed.after(this.#place);
        // A turn may be long in coming.
        feed.requireAccess();
        // What was said meanwhile counts as well.
        if (this.#last === undefined) {
          this.#place = next;
          this.#moved ||= more;
        }
        return bytes;
      }
    } catch (error) {
      this.#last = finalMessageFor(error, node);
    }
    return encoder.encode(this.#last.text);
  }

  #closeConnection(ending: StreamEndReason): void {
    this.#end(ending);
    this.#options.closeConnection();
  }

  #end(ending: StreamEndReason): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#stallTimer);
    this.#wake?.();
    metrics.eventStreams.dec();
    metrics.eventStreamsEnded.inc({ reason: ending });
    logger.debug("an event stream ended: {ending}", { ending });
    this.#options.onEnded();
  }
}

const encoder = new TextEncoder();
const heartbeat = encoder.encode(": nothing new\n\n");
const retryAfterMs = 1000;

/** An id without data tells the reader where he is, so that he misses nothing if he comes back before the first event. */
function opening({ epoch, offset }: EventPosition): string {
  return `retry: ${retryAfterMs}\nid: ${formatToken(epoch, offset)}\n\n`;
}

export function eventText(event: CloudEvent): string {
  return `id: ${event.id}\n${message(event.type, event)}`;
}

/** JSON has no line breaks of its own, so it is one line. */
function message(type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** `gone` where the reader can't go on from his place anywhere, `end` where he can, here or elsewhere. */
function finalMessageFor(error: unknown, node: Node): FinalMessage {
  if (!(error instanceof AppError)) {
    if (!node.reportDamage(error)) logger.error("a stream of events failed: {error}", { error });
    return { ending: "end", text: message("end", { message: "this node can't go on, ask another one" }) };
  }
  const { code, message: reason, details } = error;
  if (code === "gone" || code === "conflict")
    return { ending: "gone", text: message("gone", details ?? { message: reason }) };
  return { ending: code === "unauthorized" ? code : "end", text: message("end", { message: reason }) };
}
