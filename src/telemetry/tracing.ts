/**
 * Spans, written by hand: instrumentation plugins cost ten times as much per request. With a collector in the
 * environment its sampler decides which traces are recorded. Without one, the node records a few traces per second for
 * itself (`recent-traces.ts`), and a request that is not recorded costs one look at the budget.
 */
import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type Span,
} from "@opentelemetry/api";
import { AppError } from "../util/app-error.ts";
import { preciseNow } from "../util/clock.ts";
import { currentEnvironment } from "./current-environment.ts";
import { maskSecrets } from "./mask-secrets.ts";
import { parseTraceparent } from "./trace-context.ts";
import { recentTraces } from "./recent-traces.ts";
import { TraceBudget, type TracedKind } from "./trace-budget.ts";
import type { Tracing, TracingOptions } from "./tracing-sdk.ts";

export interface SpanOptions {
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** The traceparent of the request or event. By default the span is a child of the active span. */
  readonly parent?: string | null | undefined;
  /** Traceparents of other traces that caused this span, such as those of the events in a batch. */
  readonly links?: readonly (string | null)[];
  /** When the work began, in ms since 1970; by default now. */
  readonly startTime?: number;
  /** What the trace is about, if it begins here. */
  readonly traced?: TracedKind;
  /** Whether another thread has chosen it, with the share of `traceChooser`. */
  readonly isChosen?: boolean | undefined;
}

let active = false;
/** Without a collector: decides which traces are recorded. */
let budget: TraceBudget | undefined;
/** How many recorded spans are open. Without any, a span without a parent of its own belongs to no recorded trace. */
let openSpans = 0;
/** The share of the traces that begin here which are recorded. Undefined if only the sampler of the SDK decides. */
let rootShare: number | undefined;

/** Starts tracing in this thread if the standard variables name a collector, or the node keeps traces for itself. */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { recent } = options;
  const hasCollector = isConfigured(process.env);
  if (!hasCollector && recent === undefined) return { stop: () => Promise.resolve() };
  const { startSdk } = await import("./tracing-sdk.ts");
  const exporter = hasCollector ? (await import("./tracing-exporter.ts")).openExporter() : undefined;
  const sdk = startSdk(options, exporter);
  if (recent !== undefined) recentTraces.configure(recent);
  budget = hasCollector || recent === undefined ? undefined : new TraceBudget(recent.perSecond);
  active = true;
  rootShare = sdk.rootShare;
  return {
    stop: () => {
      active = false;
      budget = undefined;
      return sdk.stop();
    },
  };
}

/**
 * Runs `body` in a span, which ends with it (or with its promise) and records its error. `body` gets `first` and
 * `second` after the span, so that frequent callers need no closure: creating one costs more than the rest of a span
 * that is not recorded.
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
  if (!active || (budget !== undefined && !isWithinBudget(options)))
    return body(unrecordedSpan(options.parent), first, second);
  return recordSpanOf(name, options, body, first, second);
}

/**
 * Who decides which requests begin a trace that is recorded: chance, with this share of them; a sampler of the SDK; or
 * the budget of a node without a collector.
 */
export function traceChooser(): number | "sampler" | "budget" {
  return active && budget === undefined ? (rootShare ?? "sampler") : "budget";
}

/** Whether a span belongs to a trace that is recorded without a collector, or begins one that the budget allows. */
function isWithinBudget({ parent, traced = "continued" }: SpanOptions): boolean {
  if (parent === undefined) return openSpans > 0 && trace.getSpan(context.active()) !== undefined;
  // A batch of several traces has a span of its own, which nobody looks for.
  const isAllowed = parent !== null || traced !== "continued";
  return isAllowed && budget?.take(currentEnvironment(), traced) === true;
}

type Body<T> = (span: Span, first?: unknown, second?: unknown) => T;

/** A separate function: otherwise every call of `withSpan` would allocate the context of the closure in here. */
function recordSpanOf<T>(name: string, options: SpanOptions, body: Body<T>, first: unknown, second: unknown): T {
  const parent = parentContext(options);
  if (!isSkipped(options, parent)) {
    const span = startIn(name, options, parent);
    if (isSampled(span)) {
      openSpans += 1;
      return context.with(trace.setSpan(parent, span), () => settle(span, () => body(span, first, second)));
    }
  }
  // Most traces are not recorded. All their spans share one context, and none of them needs an end.
  if (context.active() === skipped) return body(noSpan, first, second);
  return context.with(skipped, body, undefined, noSpan, first, second);
}

/**
 * Whether a span is of a trace that is not recorded, as far as that is known without the SDK: there each span costs a
 * quarter of a decision, also one that is not sampled.
 */
function isSkipped({ parent: traceparent, isChosen = false }: SpanOptions, parent: Context): boolean {
  const enclosing = trace.getSpan(parent);
  if (enclosing === undefined) return !isChosen && rootShare !== undefined && Math.random() >= rootShare;
  // All samplers decide for a whole trace, but not all of them follow the caller.
  return !isSampled(enclosing) && (traceparent === undefined || rootShare !== undefined);
}

function isSampled(span: Span): boolean {
  return (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0;
}

/** Records a span of work that has begun and ended already, such as the delivery of an event after its commit. */
export function recordSpan(name: string, options: SpanOptions & { readonly endTime: number }): void {
  if (!active || (budget !== undefined && !isWithinBudget(options))) return;
  const parent = parentContext(options);
  if (isSkipped(options, parent)) return;
  // The clock may have been set between the two times.
  const endTime = Math.max(options.endTime, options.startTime ?? 0);
  startIn(name, options, parent).end(endTime);
}

/** Records how many rows a query returned. */
export function recordRows(span: Span, rows: number): void {
  if (span.isRecording()) span.setAttribute("db.response.returned_rows", rows);
}

export { type Span, SpanKind };

function isConfigured(environment: NodeJS.ProcessEnv): boolean {
  if (environment["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return false;
  if (environment["OTEL_TRACES_EXPORTER"] === "none") return false;
  return [environment["OTEL_EXPORTER_OTLP_ENDPOINT"], environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]].some(Boolean);
}

/** A span that is not recorded, but still has the caller's trace context. */
export function unrecordedSpan(parent: string | null | undefined): Span {
  const spanContext = parseTraceparent(parent);
  return spanContext === undefined ? noSpan : trace.wrapSpanContext(spanContext);
}

const noSpan = trace.wrapSpanContext({ traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 });

/** The context of a trace that is not recorded. */
const skipped = trace.setSpan(ROOT_CONTEXT, noSpan);

function parentContext(options: SpanOptions): Context {
  if (options.parent === undefined) return context.active();
  const parent = parseTraceparent(options.parent);
  return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
}

function startIn(name: string, options: SpanOptions, parent: Context): Span {
  const environment = currentEnvironment();
  const linked = (options.links ?? []).map(parseTraceparent).filter((each) => each !== undefined);
  return trace.getTracer("ostiary").startSpan(
    name,
    {
      kind: options.kind ?? SpanKind.INTERNAL,
      attributes: { ...options.attributes, ...(environment !== undefined && { "ostiary.environment": environment }) },
      links: linked.map((spanContext) => ({ context: spanContext })),
      // The SDK itself starts spans at whole milliseconds, and the steps of a request would be in a wrong order.
      startTime: options.startTime ?? preciseNow(),
    },
    parent,
  );
}

function settle<T>(span: Span, body: () => T): T {
  const succeeded = <V>(value: V): V => {
    openSpans -= 1;
    span.end(preciseNow());
    return value;
  };
  const failed = (error: unknown): never => {
    fail(span, error);
    throw error;
  };
  let result: T;
  try {
    result = body();
  } catch (error) {
    return failed(error);
  }
  return result instanceof Promise ? (result.then(succeeded, failed) as T) : succeeded(result);
}

/** Marks errors that only say that the work is offloaded. */
export const notAFailure = Symbol("not a failure");

/** Of an AppError only the code is recorded, because its message may repeat the request. */
function fail(span: Span, error: unknown): void {
  openSpans -= 1;
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
