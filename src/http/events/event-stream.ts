/**
 * One stream of server-sent events. The stream buffers nothing for its reader: it reads events from the log, a page at
 * a time, when the connection can take more. So slow readers cost no memory; a reader that accepts nothing for
 * `eventStallMs` is disconnected. A stream never skips an event: if it cannot continue, it sends the reason and ends.
 */
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import type { CloudEvent } from "./cloud-event.ts";

const logger = getLogger("events");

export interface EventBatch<Position> {
  /** The encoded events; empty if there are none. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly next: Position;
  /** Whether the log has further events. */
  readonly hasMore: boolean;
}

interface EventStreamOptions<Position> {
  readonly node: Node;
  readonly limits: Limits;
  /** Throws AppError `unauthorized` if the API key was removed or has expired, `not_ready` if events stopped. */
  readonly requireAccess: () => void;
  /** The events after a position. Throws AppError if the stream cannot continue. */
  readonly after: (position: Position) => EventBatch<Position> | Promise<EventBatch<Position>>;
  /** The id by which a reader continues after a position. */
  readonly idOf: (position: Position) => string;
  /** Closes the connection, even if the reader accepts nothing. */
  readonly closeConnection: () => void;
  readonly onEnded: () => void;
}

/** For `/metrics`. */
type StreamEndReason = "client" | "end" | "gone" | "unauthorized" | "slow" | "stop";

interface FinalMessage {
  readonly reason: StreamEndReason;
  readonly text: string;
}

export class EventStream<Position> {
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: EventStreamOptions<Position>;
  #position: Position;
  /** Whether the log can have events that were not sent. */
  #hasNews = true;
  /** Ends the present wait for events. */
  #wake: (() => void) | undefined;
  #stallTimer: ReturnType<typeof setTimeout> | undefined;
  #last: FinalMessage | undefined;
  #ended = false;

  constructor(start: Position, options: EventStreamOptions<Position>) {
    this.#position = start;
    this.#options = options;
    metrics.eventStreams.inc();
    logger.debug("an event stream starts after {position}", { position: options.idOf(start) });
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(encoder.encode(opening(options.idOf(start)))),
        pull: (controller) => this.#pull(controller),
        cancel: () => this.#end("client"),
      },
      { highWaterMark: 0 },
    );
  }

  /** Has to be called when the log can have new events. */
  notify(): void {
    this.#hasNews = true;
    this.#wake?.();
  }

  /** Ends the stream, with a message to a waiting reader. One that is behind would delay the stop: it is cut off. */
  stop(): void {
    this.#last = { reason: "stop", text: message("end", { message: "this node stops, continue at another one" }) };
    if (this.#wake === undefined) this.#closeConnection("stop");
    else this.notify();
  }

  /** The connection can take more: sends the next events as soon as there are some. */
  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    clearTimeout(this.#stallTimer);
    const bytes = await this.#next();
    if (this.#ended) return;
    controller.enqueue(bytes);
    if (this.#last === undefined) {
      this.#stallTimer = setTimeout(() => this.#closeConnection("slow"), this.#options.limits.eventStallMs);
    } else {
      this.#end(this.#last.reason);
      controller.close();
    }
  }

  /** The next bytes to send: events, or a heartbeat if there are none. */
  async #next(): Promise<Uint8Array> {
    const heartbeatAtMs = performance.now() + this.#options.limits.eventHeartbeatMs;
    for (;;) {
      const leftMs = heartbeatAtMs - performance.now();
      if (this.#hasNews || leftMs <= 0) {
        const bytes = await this.#read();
        if (this.#ended) return heartbeat;
        if (bytes.byteLength > 0) return bytes;
        if (leftMs <= 0) return heartbeat;
      }
      if (!this.#hasNews) await this.#waitForNews(leftMs);
      if (this.#ended) return heartbeat;
    }
  }

  /** Resolves when the log can have new events, at the latest after `waitMs`. */
  async #waitForNews(waitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, waitMs);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }

  /** Events or the last message; empty if there are no new events. */
  async #read(): Promise<Uint8Array> {
    const { requireAccess, after, node } = this.#options;
    this.#hasNews = false;
    try {
      if (this.#last === undefined) {
        requireAccess();
        const { bytes, next, hasMore } = await after(this.#position);
        // The read can have waited for a long time.
        requireAccess();
        // `stop` and `notify` can have been called during the read.
        if (this.#last === undefined) {
          this.#position = next;
          this.#hasNews ||= hasMore;
        }
        return bytes;
      }
    } catch (error) {
      this.#last = finalMessageFor(error, node);
    }
    return encoder.encode(this.#last.text);
  }

  #closeConnection(reason: StreamEndReason): void {
    this.#end(reason);
    this.#options.closeConnection();
  }

  #end(reason: StreamEndReason): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#stallTimer);
    this.#wake?.();
    metrics.eventStreams.dec();
    metrics.eventStreamsEnded.inc({ reason });
    logger.debug("an event stream ended: {reason}", { reason });
    this.#options.onEnded();
  }
}

const encoder = new TextEncoder();
const heartbeat = encoder.encode(": nothing new\n\n");
const retryAfterMs = 1000;

/** An id without data gives the position to the reader: it misses no event if it reconnects before the first one. */
function opening(id: string): string {
  return `retry: ${retryAfterMs}\nid: ${id}\n\n`;
}

export function eventText(event: CloudEvent): string {
  return messageWithId(event.id, event.type, event);
}

/** A message from which a reader can continue. */
export function messageWithId(id: string, type: string, data: object): string {
  return `id: ${id}\n${message(type, data)}`;
}

/** The JSON is one line, because `JSON.stringify` escapes line breaks. */
function message(type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** `gone` if no node can continue from the reader's position, `end` if this node or another one can. */
function finalMessageFor(error: unknown, node: Node): FinalMessage {
  if (!(error instanceof AppError)) {
    if (!node.reportDamage(error)) logger.error("an event stream failed: {error}", { error });
    return { reason: "end", text: message("end", { message: "this node cannot continue, ask another one" }) };
  }
  const { code, message: reason, details } = error;
  if (code === "gone" || code === "conflict")
    return { reason: "gone", text: message("gone", details ?? { message: reason }) };
  return { reason: code === "unauthorized" ? code : "end", text: message("end", { message: reason }) };
}
