/**
 * W3C trace context as text, for HTTP headers and events: `00-<trace id>-<span id>-<flags>`. An event has one only if
 * its trace is sampled: no other trace can be looked up.
 */
import { context, isSpanContextValid, trace, TraceFlags, type Span, type SpanContext } from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";

/** Parses a traceparent. Returns undefined if it is missing or malformed: that must not fail a request. */
export function parseTraceparent(traceparent: string | null | undefined): SpanContext | undefined {
  if (!traceparent) return undefined;
  const parsed = parseTraceParent(traceparent);
  return parsed === null ? undefined : { ...parsed, isRemote: true };
}

export function formatTraceparent(spanContext: SpanContext): string {
  return `00-${spanContext.traceId}-${spanContext.spanId}-${spanContext.traceFlags.toString(16).padStart(2, "0")}`;
}

/** The traceparent of `span`, or of the active span; null if the trace is not sampled. */
export function traceparentOf(span: Span | undefined = trace.getSpan(context.active())): string | null {
  const spanContext = span?.spanContext();
  // Most traces are not sampled, and that check is cheaper than the check of validity.
  if (spanContext === undefined || (spanContext.traceFlags & TraceFlags.SAMPLED) === 0) return null;
  return isSpanContextValid(spanContext) ? formatTraceparent(spanContext) : null;
}

/** The trace id; null if the trace is not sampled. */
export function traceIdOf(span: Span): string | null {
  return traceparentOf(span)?.slice(3, 35) ?? null;
}
