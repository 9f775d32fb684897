/**
 * W3C trace context as text, for HTTP headers and for events: `00-<trace id>-<span id>-<flags>`. An event carries one only where its
 * trace is sampled, since nobody could ever look the others up.
 */
import {
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  trace,
  TraceFlags,
  type Context,
  type Span,
  type SpanContext,
} from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";

/** What the text names; undefined where it is missing or malformed, which must never fail a request. */
export function parseTraceparent(traceparent: string | null | undefined): SpanContext | undefined {
  if (!traceparent) return undefined;
  const parsed = parseTraceParent(traceparent);
  return parsed !== null && isSpanContextValid(parsed) ? { ...parsed, isRemote: true } : undefined;
}

export function formatTraceparent(spanContext: SpanContext): string {
  return `00-${spanContext.traceId}-${spanContext.spanId}-${spanContext.traceFlags.toString(16).padStart(2, "0")}`;
}

/** The traceparent to hand on from `span` (or from the active one); null where the trace is not sampled. */
export function traceparentOf(span: Span | undefined = trace.getSpan(context.active())): string | null {
  const spanContext = span?.spanContext();
  // Most are not sampled, and to look whether one is costs less than to look whether it is valid.
  if (spanContext === undefined || (spanContext.traceFlags & TraceFlags.SAMPLED) === 0) return null;
  return isSpanContextValid(spanContext) ? formatTraceparent(spanContext) : null;
}

/** The trace id to show a caller; null where the trace is not sampled. */
export function traceIdOf(span: Span): string | null {
  return traceparentOf(span)?.slice(3, 35) ?? null;
}

/** A context whose spans become children of what the text names; the root where it names nothing. */
export function childOf(traceparent: string | null | undefined): Context {
  const parent = parseTraceparent(traceparent);
  return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
}
