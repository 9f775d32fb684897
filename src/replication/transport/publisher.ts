/**
 * Publishes the events of a primary to one broker. It reads the log table behind a cursor and sends batches to the
 * broker, a few at a time. It needs no queue, since the log is one. If the cursor is far behind or the connection was
 * lost, publishing continues at the head, and edges fetch the skipped events over HTTP.
 */
import { createHash } from "node:crypto";
import type { Connection } from "../../store/connection/connection.ts";
import { openLog, type Log, type StoredLogRow } from "../../store/log/log.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordSpan, SpanKind } from "../../telemetry/tracing.ts";
import type { TimeContext } from "../node-context.ts";
import { reasonOf } from "../../util/reason.ts";
import type { NextEvent } from "../../log/append/append.ts";
import type { CommitTimes } from "../../log/reader/commit-times.ts";
import type { StateChange } from "../../log/writer/store-writer.ts";
import type { EventBatch, Head, PublishedRow } from "./messages.ts";
import { auditOf } from "./audit-of-rows.ts";
import type { BrokerTransport } from "./broker-transport.ts";
import type { Topics } from "./topics.ts";

const log = getLogger("publish");

/** If the oldest unpublished event is older than this, publishing continues at the head. */
const backlogMsMax = 5000;

export interface PublisherOptions {
  /** A read-only connection that only the publisher uses. */
  readonly store: Connection;
  readonly transport: BrokerTransport;
  readonly topics: Topics;
  readonly commitTimes: CommitTimes;
  /** Reads a head with a new sequence number. Undefined while there are no numbers. */
  readonly newHead: () => Head | undefined;
  /** Returns whether the error means damage. */
  readonly reportDamage: (error: unknown) => boolean;
}

export class Publisher {
  readonly #context: TimeContext;
  readonly #options: PublisherOptions;
  readonly #log: Log;
  /**
   * The state after the last commit that the writer has announced. The database can be ahead of it by commits whose
   * times are not known yet, and edges would report latencies since the requests for them.
   */
  #announced: StoreState;
  #cursor: number;
  #epoch: string;
  #inFlight = 0;
  /** Counts connections, so that a late acknowledgement does not count for the next connection. */
  #connection = 0;
  #stopped = false;
  #hasLoggedFailure = false;

  constructor(context: TimeContext, options: PublisherOptions) {
    this.#context = context;
    this.#options = options;
    this.#log = openLog(options.store);
    this.#announced = readState(options.store);
    this.#cursor = this.#announced.offset;
    this.#epoch = this.#announced.epoch;
  }

  start(): void {
    this.#options.transport.onConnect(() => {
      this.#connection++;
      this.#inFlight = 0;
      this.#announced = readState(this.#options.store);
      this.#skipToHead(this.#announced);
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Call this for each commit, in order. */
  onCommit(change: StateChange): void {
    this.#announced = change.state;
    this.#publishPending(change);
  }

  /** Whether a node wants to know of events before they are committed. */
  get hasNextReaders(): boolean {
    return this.isReady && this.#options.transport.hasNextReaders === true;
  }

  /**
   * Announces an event that is about to be committed, so that nodes can prepare it. Only if nothing else is under way:
   * otherwise nodes are busy with earlier events. That it was committed they learn from the batch.
   */
  announce({ before, row }: NextEvent): void {
    if (!this.hasNextReaders || this.#inFlight > 0) return;
    if (before.epoch !== this.#epoch || before.offset !== this.#cursor) return;
    const { transport, topics } = this.#options;
    const batch = JSON.stringify(this.#batch(before, [row]));
    // Without it, the event takes a little longer.
    transport.publish(topics.next, batch, { qos: 0, retain: false }).catch(() => {});
  }

  #publishPending(change?: StateChange): void {
    if (!this.isReady) return;
    const state = this.#announced;
    // A message holds events of one epoch. Edges get to the next epoch through the log.
    const isNewEpoch = state.epoch !== this.#epoch;
    if (isNewEpoch || state.offset - this.#cursor > this.#context.limits.publishBacklogEventsMax)
      this.#skipToHead(state);
    const window = Math.min(this.#options.transport.window, this.#context.limits.publishInFlightMessagesMax);
    while (this.#inFlight < window && this.#cursor < state.offset) {
      const rows = this.#nextRows(change);
      const first = rows[0];
      const last = rows.at(-1);
      if (first === undefined || last === undefined) return;
      if (this.#context.clock.wallMs() - first.timeMs > backlogMsMax || first.offset !== this.#cursor + 1)
        return this.#skipToHead(state);
      const batch = { ...this.#batch(state, rows), au: this.#auditOf(rows) };
      this.#cursor = last.offset;
      void this.#send(batch, rows);
    }
  }

  #nextRows(change: StateChange | undefined): readonly StoredLogRow[] {
    if (change?.rows[0]?.offset === this.#cursor + 1) return change.rows;
    const { publishBatchEventsMax: eventsMax, publishBatchBytesMax: bytesMax } = this.#context.limits;
    const rows = this.#log.read(this.#cursor, { eventsMax, bytesMax });
    return rows.filter(({ offset }) => offset <= this.#announced.offset);
  }

  async #send(batch: EventBatch, rows: readonly StoredLogRow[]): Promise<void> {
    const connection = this.#connection;
    const startTime = this.#context.clock.preciseMs();
    this.#inFlight++;
    try {
      await this.#options.transport.publish(this.#options.topics.events, JSON.stringify(batch), {
        qos: 1,
        retain: false,
      });
      metrics.brokerEvents.inc({ direction: "published" }, rows.length);
      if (isDebugging()) logPublished(batch, this.#options.transport.name, this.#context.clock.preciseMs() - startTime);
      this.#hasLoggedFailure = false;
    } catch (error) {
      // After any failure (connection lost, not permitted), edges get these events from the log.
      this.#logFailure(error);
    }
    recordPublishSpans(rows, startTime, this.#context.clock.preciseMs());
    if (connection !== this.#connection) return;
    this.#inFlight--;
    this.#publishPending();
  }

  #batch(state: StoreState, rows: readonly StoredLogRow[]): EventBatch {
    const last = rows.at(-1);
    return {
      v: 1,
      s: state.environment,
      e: state.epoch,
      n: state.term,
      t: this.#context.clock.wallMs(),
      p: this.#cursor,
      l: last?.offset ?? this.#cursor,
      h: last?.hash ?? state.hash,
      d: last?.digest ?? null,
      ev: rows.map((row) => toPublishedRow(row, this.#context.limits.publishEventBytesMax)),
      c: this.#options.commitTimes.of(rows),
    };
  }

  /** Nodes exchange the entries of the audit log also without events, so events do not wait for damaged ones. */
  #auditOf(rows: readonly StoredLogRow[]): EventBatch["au"] {
    try {
      return auditOf(this.#options.store, rows, this.#context.limits.publishBatchBytesMax);
    } catch (error) {
      if (!this.#options.reportDamage(error)) throw error;
      return undefined;
    }
  }

  #skipToHead(state: StoreState): void {
    if (state.offset > this.#cursor)
      log.info("publishing at {broker} continues at {head}, edges fetch {count} events over HTTP", {
        broker: this.#options.transport.name,
        head: state.offset,
        count: state.offset - this.#cursor,
      });
    this.#cursor = state.offset;
    this.#epoch = state.epoch;
    if (!this.isReady) return;
    const head = this.#options.newHead();
    if (head !== undefined) this.publishHead(head);
  }

  get isReady(): boolean {
    return !this.#stopped && this.#options.transport.connected;
  }

  publishHead(head: Head): void {
    if (!this.isReady) return;
    this.#options.transport
      .publish(this.#options.topics.head, JSON.stringify(head), { qos: 0, retain: true })
      .catch((error: unknown) => this.#logFailure(error));
  }

  /** Logs once until a message succeeds again, because a missing permission would fill the log. */
  #logFailure(error: unknown): void {
    if (this.#hasLoggedFailure) return;
    this.#hasLoggedFailure = true;
    log.error("the broker at {broker} does not accept what this primary publishes, edges use HTTP instead: {reason}", {
      broker: this.#options.transport.name,
      reason: reasonOf(error),
    });
  }
}

function toPublishedRow(row: StoredLogRow, inlineBytesMax: number): PublishedRow {
  const size = Buffer.byteLength(row.body);
  const ref = (): string => createHash("sha256").update(row.body).digest("hex");
  const body = size > inlineBytesMax ? { ref: ref(), size } : row.body;
  return [row.offset, row.timeMs, row.kind, body, row.traceparent];
}

function logPublished({ p, l, ev }: EventBatch, broker: string, milliseconds: number): void {
  const announced = ev.filter(([, , , body]) => typeof body !== "string").length;
  const properties = { first: p + 1, last: l, announced, broker, ms: Number(milliseconds.toFixed(3)) };
  log.debug("published events {first} to {last} at {broker}, {announced} of them without their bodies", properties);
}

/** Records one span per sampled event, in the trace of the request that wrote it. */
function recordPublishSpans(rows: readonly StoredLogRow[], startTime: number, endTime: number): void {
  for (const { traceparent: parent, offset } of rows) {
    if (parent === null) continue;
    const attributes = { "ostiary.offset": offset, "messaging.system": "mqtt" };
    recordSpan("publish", { kind: SpanKind.PRODUCER, parent, attributes, startTime, endTime });
  }
}
