/**
 * The primary's end of the feed. It reads the log table behind a cursor and hands batches to the broker, a few at a time; nothing waits in a
 * queue, since the log already is one. The broker is a wake-up call that carries its payload: whenever the cursor is far behind, or a
 * connection was lost, the rest is left to the edges' catching up over HTTP, and the feed goes on at the head.
 */
import { createHash } from "node:crypto";
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { openLog, type Log, type StoredLogRow } from "../../store/log/log.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordSpan, SpanKind } from "../../telemetry/tracing.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { CommitTimes } from "../log/commit-times.ts";
import type { StateChange } from "../log/store-writer.ts";
import { type EventBatch, type Head, type PublishedRow } from "./messages.ts";
import type { BrokerTransport } from "./broker-transport.ts";
import type { Topics } from "./topics.ts";

const log = getLogger("publish");

/** A feed that is further behind than this in time jumps to the head. */
const backlogMsMax = 5000;

export interface PublisherOptions {
  /** A read-only connection of its own. */
  readonly store: Connection;
  readonly transport: BrokerTransport;
  readonly topics: Topics;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly commitTimes: CommitTimes;
  /** Makes a head with a number of its own. Undefined while there are no numbers. */
  readonly newHead: () => Head | undefined;
}

export class Publisher {
  readonly #store: Connection;
  readonly #log: Log;
  readonly #outlet: BrokerTransport;
  readonly #topics: Topics;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #commits: CommitTimes;
  readonly #newHead: PublisherOptions["newHead"];
  #cursor: number;
  #epoch: string;
  #inFlight = 0;
  /** Counts connections, so that an answer that comes late is not counted for the next one. */
  #connection = 0;
  #stopped = false;
  #complained = false;

  constructor({ store, transport: outlet, topics, limits, clock, commitTimes: commits, newHead }: PublisherOptions) {
    this.#store = store;
    this.#log = openLog(store);
    this.#outlet = outlet;
    this.#topics = topics;
    this.#limits = limits;
    this.#clock = clock;
    this.#commits = commits;
    this.#newHead = newHead;
    const { offset, epoch } = readState(store);
    this.#cursor = offset;
    this.#epoch = epoch;
  }

  start(): void {
    this.#outlet.onConnect(() => {
      this.#connection++;
      this.#inFlight = 0;
      this.#jump(readState(this.#store));
    });
  }

  /** Something was committed: `moved`, where that is known. */
  publishPending(moved?: StateChange): void {
    if (this.#stopped || !this.#outlet.connected) return;
    const state = moved?.state ?? readState(this.#store);
    // A message is of one epoch: where another begins, edges go over to it by the log.
    const turned = state.epoch !== this.#epoch;
    if (turned || state.offset - this.#cursor > this.#limits.publishBacklogEventsMax) this.#jump(state);
    const window = Math.min(this.#outlet.window, this.#limits.publishInFlightMessagesMax);
    while (this.#inFlight < window && this.#cursor < state.offset) {
      const rows = this.#following(moved);
      const first = rows[0];
      const last = rows.at(-1);
      if (first === undefined || last === undefined) return;
      if (this.#clock.wallMs() - first.timeMs > backlogMsMax || first.offset !== this.#cursor + 1)
        return this.#jump(state);
      const batch = this.#batch(state, rows);
      this.#cursor = last.offset;
      void this.#send(batch, rows);
    }
  }

  #following(moved: StateChange | undefined): readonly StoredLogRow[] {
    if (moved?.rows[0]?.offset === this.#cursor + 1) return moved.rows;
    const { publishBatchEventsMax: eventsMax, publishBatchBytesMax: bytesMax } = this.#limits;
    return this.#log.read(this.#cursor, { eventsMax, bytesMax });
  }

  stop(): void {
    this.#stopped = true;
  }

  async #send(batch: EventBatch, rows: readonly StoredLogRow[]): Promise<void> {
    const connection = this.#connection;
    const startTime = this.#clock.preciseMs();
    this.#inFlight++;
    try {
      await this.#outlet.publish(this.#topics.events, JSON.stringify(batch), { qos: 1, retain: false });
      metrics.brokerEvents.inc({ direction: "published" }, rows.length);
      if (isDebugging()) logPublished(batch, this.#outlet.name, this.#clock.preciseMs() - startTime);
      this.#complained = false;
    } catch (error) {
      // Whatever it was (connection lost, not allowed), the edges learn of these events from the log.
      this.#complain(error);
    }
    recordPublishSpans(rows, startTime, this.#clock.preciseMs());
    if (connection !== this.#connection) return;
    this.#inFlight--;
    this.publishPending();
  }

  #batch(state: StoreState, rows: readonly StoredLogRow[]): EventBatch {
    const last = rows.at(-1);
    return {
      v: 1,
      s: state.environment,
      e: state.epoch,
      n: state.term,
      t: this.#clock.wallMs(),
      p: this.#cursor,
      l: last?.offset ?? this.#cursor,
      h: last?.hash ?? state.hash,
      d: last?.digest ?? null,
      ev: rows.map((row) => toPublishedRow(row, this.#limits.publishEventBytesMax)),
      c: this.#commits.of(rows),
    };
  }

  /** Leaves out whatever was not published yet. */
  #jump(state: StoreState): void {
    if (state.offset > this.#cursor)
      log.info("the feed at {broker} goes on at {head}, edges fetch {count} events themselves", {
        broker: this.#outlet.name,
        head: state.offset,
        count: state.offset - this.#cursor,
      });
    this.#cursor = state.offset;
    this.#epoch = state.epoch;
    if (!this.isReady) return;
    const head = this.#newHead();
    if (head !== undefined) this.publishHead(head);
  }

  /** Whether a head can be published. */
  get isReady(): boolean {
    return !this.#stopped && this.#outlet.connected;
  }

  publishHead(head: Head): void {
    if (!this.isReady) return;
    this.#outlet
      .publish(this.#topics.head, JSON.stringify(head), { qos: 0, retain: true })
      .catch((error: unknown) => this.#complain(error));
  }

  /** Once, until something gets through again: a missing permission would fill the log otherwise. */
  #complain(error: unknown): void {
    if (this.#complained) return;
    this.#complained = true;
    log.error("the broker at {broker} does not take what this primary publishes, edges have to ask: {reason}", {
      broker: this.#outlet.name,
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
  log.debug("published events {first} to {last}, {announced} of them without their bodies, at {broker}", properties);
}

/** One span per sampled event, in the trace of the request that wrote it. */
function recordPublishSpans(rows: readonly StoredLogRow[], startTime: number, endTime: number): void {
  for (const { traceparent: parent, offset } of rows) {
    if (parent === null) continue;
    const attributes = { "ostiary.offset": offset, "messaging.system": "mqtt" };
    recordSpan("publish", { kind: SpanKind.PRODUCER, parent, attributes, startTime, endTime });
  }
}
