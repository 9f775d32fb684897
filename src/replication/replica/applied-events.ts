/**
 * What the arrival of events is worth to whoever looks on: the time from commit on the primary to visible here as a metric, and spans in the
 * traces of the requests that caused them. A batch holds events of different traces, so its own span links to them all; it is a child only
 * where they are one. Each event's `apply` is a child of what the event carries, so that a trace really goes from the write to its arrival.
 *
 * The clocks of two machines differ. An event can't arrive before its commit: where it seems to, it counts as committed when it arrived.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordSpan, SpanKind } from "../../telemetry/tracing.ts";
import type { ReplayedEvent } from "../log/replay.ts";
import type { CommittedReplay } from "../log/store-writer.ts";
import type { EventBatch } from "../transport/messages.ts";
import type { AnnouncedEvents } from "./replica-state.ts";

const log = getLogger("follow");

/** How events came: in a message of the feed, fetched because the feed only announced them, fetched from a primary that is polled, or missed before. */
export type DeliverySource = "feed" | "fetch" | "poll" | "catch_up";

export interface Delivery {
  readonly source: DeliverySource;
  /** When this node had them, in ms since 1970. */
  readonly receivedMs: number;
  /** When the primary committed each; null where that is not known. */
  readonly committedMs: readonly (number | null)[] | undefined;
  readonly announced: AnnouncedEvents | undefined;
}

interface TimedEvent {
  readonly event: ReplayedEvent;
  /** By this node's clock. */
  readonly committedMs: number;
}

/**
 * Gives the milliseconds that the last of the events was under way; undefined where there is none. They are visible once they are committed here: every
 * read that begins later is of the new state. An event without a time of commit is counted from its own time, when it was asked for.
 */
export function recordAppliedEvents(arrived: CommittedReplay, arrival: Delivery): number | undefined {
  const { source, receivedMs, committedMs } = arrival;
  const { events, committedMs: visibleMs } = arrived;
  const timed = events.map((event, index): TimedEvent => {
    const atMs = committedMs?.[index] ?? event.timeMs;
    return { event, committedMs: Math.min(atMs, receivedMs, visibleMs) };
  });
  metrics.eventsApplied.inc({ source }, events.length);
  for (const event of timed) metrics.commitToVisible.observe((visibleMs - event.committedMs) / 1000);
  const sampled = timed.filter(({ event }) => event.traceparent !== null);
  if (sampled.length > 0) recordSpans(sampled, arrived, arrival);
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

export function logReceivedBatch({ p, l, ev }: EventBatch): void {
  const announced = ev.filter(([, , , body]) => typeof body !== "string").length;
  log.debug("received events {first} to {last} of the feed, {announced} of them without their bodies", {
    first: p + 1,
    last: l,
    announced,
  });
}

export function logAppliedEvents({ events, startMs, committedMs }: CommittedReplay, source: DeliverySource): void {
  if (events.length === 0) return;
  const ms = Number((committedMs - startMs).toFixed(3));
  log.debug("applied events {first} to {last}, which came by {source}", {
    first: events[0]?.offset,
    last: events.at(-1)?.offset,
    source,
    ms,
  });
}
