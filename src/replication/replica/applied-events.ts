/**
 * Telemetry of applied events: the time from the commit on the primary until an event is visible here as a metric,
 * spans in the traces of the requests that wrote the events, and log lines. A batch may hold events of several traces.
 * Its span then links to all of them, and is a child only if there is one. Each event's `apply` span is a child of the
 * span that the event carries, so a trace covers the way from the write to every replica.
 *
 * The clocks of two machines differ. An event that seems to arrive before its commit was committed when it arrived.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordSpan, SpanKind } from "../../telemetry/tracing.ts";
import type { ReplayedEvent } from "../../log/append/replay.ts";
import type { CommittedReplay } from "../../log/writer/store-writer.ts";
import type { EventBatch } from "../transport/messages.ts";
import type { AnnouncedEvents } from "./replica-state.ts";

const log = getLogger("replica");

/**
 * How events arrived: in a message of the event stream (`feed`), fetched because the stream only announced them,
 * fetched from a polled primary, or fetched because they were missed. The values are labels of metrics.
 */
export type DeliverySource = "feed" | "fetch" | "poll" | "catch_up";

export interface Delivery {
  readonly source: DeliverySource;
  /** When they arrived at this node, in ms since 1970. */
  readonly receivedMs: number;
  /** When the primary committed each event; null if that is unknown. */
  readonly committedMs: readonly (number | null)[] | undefined;
  readonly announced: AnnouncedEvents | undefined;
}

interface TimedEvent {
  readonly event: ReplayedEvent;
  /** By this node's clock. */
  readonly committedMs: number;
}

/**
 * Returns the ms from the last event's commit on the primary, or from its request if that is unknown, until it was
 * committed here: every later read sees it. Undefined without events.
 */
export function recordAppliedEvents(replay: CommittedReplay, delivery: Delivery): number | undefined {
  const { source, receivedMs, committedMs } = delivery;
  const { events, committedMs: visibleMs } = replay;
  const timed = events.map((event, index): TimedEvent => {
    const atMs = committedMs?.[index] ?? event.timeMs;
    return { event, committedMs: Math.min(atMs, receivedMs, visibleMs) };
  });
  metrics.eventsApplied.inc({ source }, events.length);
  for (const event of timed) metrics.commitToVisible.observe({}, (visibleMs - event.committedMs) / 1000);
  const sampled = timed.filter(({ event }) => event.traceparent !== null);
  if (sampled.length > 0) recordSpans(sampled, replay, delivery);
  const last = timed.at(-1);
  return last && Math.round(visibleMs - last.committedMs);
}

function recordSpans(
  sampled: readonly TimedEvent[],
  { committedMs: visibleMs }: CommittedReplay,
  { source, receivedMs, announced }: Delivery,
): void {
  const traceparents = [...new Set(sampled.map(({ event }) => event.traceparent))];
  recordSpan("receive", {
    kind: SpanKind.CONSUMER,
    parent: traceparents.length === 1 ? traceparents[0] : null,
    links: traceparents.length === 1 ? [] : traceparents,
    attributes: {
      ...(source === "feed" ? { "messaging.system": "mqtt", "messaging.operation.type": "receive" } : {}),
      "messaging.batch.message_count": sampled.length,
      "ostiary.source": source,
    },
    startTime: Math.min(receivedMs, visibleMs),
    endTime: visibleMs,
  });
  for (const { event, committedMs } of sampled) {
    const { traceparent: parent, offset, inserted, deleted } = event;
    const changed = { "ostiary.facts.inserted": inserted, "ostiary.facts.deleted": deleted };
    const attributes = { "ostiary.offset": offset, "ostiary.source": source, ...changed };
    const span = (name: string, startTime: number, endTime: number, kind = SpanKind.INTERNAL): void =>
      recordSpan(name, { kind, parent, attributes, startTime, endTime });
    if (source === "fetch" && announced !== undefined && offset <= announced.offset)
      span("fetch", announced.atMs, receivedMs, SpanKind.CLIENT);
    span("apply", event.startMs, event.endMs);
    span("commit to visible", committedMs, visibleMs);
  }
}

/** Logs positions only, never the content of events. */
export function logReceivedBatch({ p, l, ev }: EventBatch): void {
  const announced = ev.filter(([, , , body]) => typeof body !== "string").length;
  log.debug("received events {first} to {last} from the event stream, {announced} of them without their bodies", {
    first: p + 1,
    last: l,
    announced,
  });
}

export function logAppliedEvents({ events, startMs, committedMs }: CommittedReplay, source: DeliverySource): void {
  if (events.length === 0) return;
  const [first, last] = [events[0]?.offset, events.at(-1)?.offset];
  const ms = Number((committedMs - startMs).toFixed(3));
  log.debug("applied events {first} to {last}, source {source}", { first, last, source, ms });
}
