/**
 * Spans, written by hand where they tell something: plugins cost ten times as much a request. Without an exporter in the environment
 * nothing of the SDK is loaded, and a span is one comparison and a call.
 */
import {
  context,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Link,
  type Span,
  SpanKind,
} from "@opentelemetry/api";
import { AppError } from "../util/app-error.ts";
import { preciseNow } from "../util/clock.ts";
import { maskSecrets } from "./mask-secrets.ts";
import { childOf, parseTraceparent } from "./trace-context.ts";

export interface TracingOptions {
  /** Overrides OTEL_TRACES_SAMPLER where it is set. */
  readonly sampleRatio?: number | undefined;
  /** What names this node beside the service's name: role, node, version, environment. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Tracing {
  /** Sends what is still here (at most for some seconds) and ends tracing. */
  stop(): Promise<void>;
}

export interface SpanOptions {
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** The text that came with the request or event. Left out: child of the active span. */
  readonly parent?: string | null | undefined;
  /** Texts of other traces that caused this, such as those of the events in a batch. */
  readonly links?: readonly (string | null)[];
  /** Milliseconds since 1970, where the work began before this call. */
  readonly startTime?: number;
}

let active = false;

/** Starts to export when the standard variables name a collector. One call per thread. */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  if (!isConfigured(process.env)) return { stop: () => Promise.resolve() };
  const { startSdk } = await import("./tracing-sdk.ts");
  const sdk = startSdk(options);
  active = true;
  return {
    stop: () => {
      active = false;
      return sdk.stop();
    },
  };
}

/**
 * Runs `body` inside a span, which ends with it (or with its promise) and records what it throws. It gets `first` and `second` after the span: where
 * something is called all the time, a closure each time for what it needs takes more than all else that a span costs which nobody records.
 */
export function withSpan<T>(name: string, options: SpanOptions, body: (span: Span) => T): T;
export function withSpan<T, A, B>(
  name: string,
  options: SpanOptions,
  body: (span: Span, first: A, second: B) => T,
  first: A,
  second: B,
): T;
export function withSpan<T>(name: string, options: SpanOptions, body: Body<T>, first?: unknown, second?: unknown): T {
  if (!active) return body(bareSpan(options.parent), first, second);
  return recordSpanOf(name, options, body, first, second);
}

type Body<T> = (span: Span, first?: unknown, second?: unknown) => T;

/** Apart from `withSpan`, whose every call would make room for what the closure in here needs. */
function recordSpanOf<T>(name: string, options: SpanOptions, body: Body<T>, first: unknown, second: unknown): T {
  const parent = parentContext(options);
  const span = startIn(name, options, parent);
  return context.with(trace.setSpan(parent, span), () => settle(span, () => body(span, first, second)));
}

/** A span over something that began and ended elsewhere, such as the way of an event from commit to here. */
export function recordSpan(name: string, options: SpanOptions & { readonly endTime: number }): void {
  if (!active) return;
  // Between the two a clock may have been set.
  const endTime = Math.max(options.endTime, options.startTime ?? 0);
  startIn(name, options, parentContext(options)).end(endTime);
}

/** How many rows were found. */
export function recordRows(span: Span, rows: number): void {
  if (span.isRecording()) span.setAttribute("db.response.returned_rows", rows);
}

export { type Span, SpanKind };

function isConfigured(environment: NodeJS.ProcessEnv): boolean {
  if (environment["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return false;
  if (environment["OTEL_TRACES_EXPORTER"] === "none") return false;
  return [environment["OTEL_EXPORTER_OTLP_ENDPOINT"], environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]].some(Boolean);
}

/** Records nothing, but still hands the caller's own trace on to whoever asks for it. */
function bareSpan(parent: string | null | undefined): Span {
  const spanContext = parseTraceparent(parent);
  return spanContext === undefined ? noSpan : trace.wrapSpanContext(spanContext);
}

const noSpan = trace.wrapSpanContext({ traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 });

function parentContext(options: SpanOptions): Context {
  return options.parent === undefined ? context.active() : childOf(options.parent);
}

function startIn(name: string, options: SpanOptions, parent: Context): Span {
  const links = (options.links ?? []).flatMap((text): Link[] => {
    const linked = parseTraceparent(text);
    return linked === undefined ? [] : [{ context: linked }];
  });
  return trace.getTracer("ostiary").startSpan(
    name,
    {
      kind: options.kind ?? SpanKind.INTERNAL,
      ...(options.attributes === undefined ? {} : { attributes: options.attributes }),
      // Left to itself the SDK starts spans at whole milliseconds, and the steps of a request, which take less, would show in a wrong order.
      startTime: options.startTime ?? preciseNow(),
      ...(links.length === 0 ? {} : { links }),
    },
    parent,
  );
}

function settle<T>(span: Span, body: () => T): T {
  let result: T;
  try {
    result = body();
  } catch (error) {
    fail(span, error);
    throw error;
  }
  if (!(result instanceof Promise)) {
    span.end(preciseNow());
    return result;
  }
  const settled = result.then(
    (value: unknown) => {
      span.end(preciseNow());
      return value;
    },
    (error: unknown) => {
      fail(span, error);
      throw error;
    },
  );
  return settled as T;
}

/** On errors that only say that the work is done elsewhere. */
export const notAFailure = Symbol("not a failure");

/** The text of a refusal repeats what was sent, so its code has to do. */
function fail(span: Span, error: unknown): void {
  if (error instanceof Error && notAFailure in error) span.setAttribute("ostiary.offloaded", true);
  else if (error instanceof AppError) {
    span.setAttribute("error.type", error.code);
    span.setStatus({ code: SpanStatusCode.ERROR });
  } else {
    const { name, message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    span.setAttribute("error.type", name);
    span.recordException({ name, message: maskSecrets(message), stack: maskSecrets(stack) });
    span.setStatus({ code: SpanStatusCode.ERROR, message: maskSecrets(message) });
  }
  span.end(preciseNow());
}
