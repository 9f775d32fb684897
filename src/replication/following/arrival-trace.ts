/**
 * What the arrival of events is worth to whoever looks on: the time from commit on the primary to visible here as a metric, and spans in the
 * traces of the requests that caused them. A batch holds events of different traces, so its own span links to them all; it is a child only
 * where they are one. Each event's `apply` is a child of what the event carries, so that a trace really goes from the write to its arrival.
 */
import { metrics } from "../../telemetry/metrics.ts";
import { recordSpan, SpanKind } from "../../telemetry/tracing.ts";
import { preciseNow } from "../writing/append.ts";
import type { ReplayedEvent } from "../writing/replay.ts";
import type { Arrived } from "../writing/store-writer.ts";

/**
 * Gives the milliseconds that the last of the events was under way; undefined where there is none. They are visible once they are committed: every
 * read that begins later is of the new state.
 */
export function recordArrival(
  { events, committedMs }: Pick<Arrived, "events" | "committedMs">,
  source: "feed" | "catch_up",
  receivedMs: number,
): number | undefined {
  // Other machines tell the time by the wall clock, which may have been set since this process began.
  const visibleMs = Date.now() - Math.round(preciseNow() - committedMs);
  metrics.eventsApplied.inc({ source }, events.length);
  for (const event of events) metrics.commitToVisible.observe(Math.max(0, visibleMs - event.timeMs) / 1000);
  const sampled = events.filter((event) => event.traceparent !== null);
  if (sampled.length > 0) recordSpans(sampled, source, receivedMs, visibleMs);
  const last = events.at(-1);
  return last && Math.max(0, visibleMs - last.timeMs);
}

function recordSpans(events: readonly ReplayedEvent[], source: string, receivedMs: number, visibleMs: number): void {
  const traceparents = [...new Set(events.map((event) => event.traceparent))];
  recordSpan("receive", {
    kind: SpanKind.CONSUMER,
    parent: traceparents.length === 1 ? traceparents[0] : null,
    links: traceparents.length === 1 ? [] : traceparents,
    attributes: {
      "messaging.system": "mqtt",
      "messaging.batch.message_count": events.length,
      "ostiary.source": source,
    },
    startTime: receivedMs,
    endTime: visibleMs,
  });
  for (const { traceparent: parent, offset, timeMs, startMs, endMs } of events) {
    const attributes = { "ostiary.offset": offset, "ostiary.commit_to_visible_ms": visibleMs - timeMs };
    recordSpan("apply", { parent, attributes, startTime: startMs, endTime: endMs });
    recordSpan("commit to visible", { parent, attributes, startTime: timeMs, endTime: visibleMs });
  }
}
