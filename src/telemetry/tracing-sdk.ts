/**
 * The configured OpenTelemetry SDK: a context that follows `await`, the spans that the node keeps for itself, and with a
 * collector its exporter. The standard OTEL_ variables apply; SDK 3 itself reads only those of exporter and resource.
 */
import { context, diag, DiagLogLevel, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { getNumberFromEnv, getStringFromEnv } from "@opentelemetry/core";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace";
import { rateLimiter } from "../util/rate-limiter.ts";
import { getLogger } from "./logger.ts";
import { type NodeAttributes, otelResource } from "./otel-resource.ts";
import { type RecentSpan, recentTraces, type RecentTracesLimits, spanKinds } from "./recent-traces.ts";
import { shutDown } from "./shutdown.ts";

export interface TracingOptions {
  /** If set, it overrides OTEL_TRACES_SAMPLER. */
  readonly sampleRatio?: number | undefined;
  readonly attributes: NodeAttributes;
  /** The traces that the node keeps for itself; undefined if it keeps none. */
  readonly recent?: (RecentTracesLimits & { readonly perSecond: number }) | undefined;
}

export interface Sdk extends Tracing {
  /** The share of the traces that begin here which are to be started. Undefined if the sampler decides. */
  readonly rootShare: number | undefined;
}

export interface Tracing {
  /** Exports the remaining spans, for some seconds at most, and ends tracing. */
  stop(): Promise<void>;
}

const exportTimeoutMs = 3000;
const warningIntervalMs = 60_000;

/** Without an exporter, `tracing.ts` decides which traces are recorded. */
export function startSdk({ sampleRatio, attributes, recent }: TracingOptions, exporter?: SpanExporter): Sdk {
  diag.setLogger(quietLogger(), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const { sampler, rootShare } =
    exporter === undefined ? { sampler: new AlwaysOnSampler(), rootShare: undefined } : samplingOf(sampleRatio);
  const provider = new TracerProvider({
    sampler,
    resource: otelResource(attributes),
    spanProcessors: [
      ...(exporter === undefined ? [] : [batchesOf(exporter)]),
      ...(recent === undefined ? [] : [recentProcessor]),
    ],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
  return { rootShare, stop: () => stop(provider) };
}

function batchesOf(exporter: SpanExporter): SpanProcessor {
  return new BatchSpanProcessor({
    exporter,
    exportTimeoutMillis: exportTimeoutMs,
    scheduledDelayMillis: getNumberFromEnv("OTEL_BSP_SCHEDULE_DELAY") ?? 1000,
    maxQueueSize: getNumberFromEnv("OTEL_BSP_MAX_QUEUE_SIZE") ?? 8192,
  });
}

/** The attribute that names the hosted environment of a span. */
const environmentAttribute = "ostiary.environment";

/** Keeps ended spans in the memory of this node. */
const recentProcessor: SpanProcessor = {
  onStart() {},
  onEnd(span) {
    const environment = span.attributes[environmentAttribute];
    const { traceId } = span.spanContext();
    recentTraces.add(typeof environment === "string" ? environment : undefined, traceId, recentSpanOf(span));
  },
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};

/** Messages of errors are left out, since they can repeat the content of a request. */
function recentSpanOf(span: ReadableSpan): RecentSpan {
  const { name, kind, parentSpanContext, startTime, duration, status, attributes } = span;
  const plain = Object.entries(attributes).filter(
    (entry): entry is [string, string | number | boolean] =>
      entry[0] !== environmentAttribute && ["string", "number", "boolean"].includes(typeof entry[1]),
  );
  return {
    id: span.spanContext().spanId,
    parent: parentSpanContext?.spanId ?? null,
    name,
    kind: spanKinds[kind] ?? "internal",
    start_us: microseconds(startTime),
    duration_us: microseconds(duration),
    failed: status.code === SpanStatusCode.ERROR,
    attributes: Object.fromEntries(plain),
  };
}

function microseconds([seconds, nanoseconds]: readonly [number, number]): number {
  return seconds * 1_000_000 + Math.round(nanoseconds / 1000);
}

async function stop(provider: TracerProvider): Promise<void> {
  await shutDown(provider);
  trace.disable();
  context.disable();
}

/** The names are those of the specification; any other means `parentbased_always_on`. Our own setting has priority. */
function samplingOf(sampleRatio: number | undefined): {
  readonly sampler: Sampler;
  readonly rootShare?: number | undefined;
} {
  const ratio = sampleRatio ?? getNumberFromEnv("OTEL_TRACES_SAMPLER_ARG") ?? 1;
  const name = sampleRatio === undefined ? (getStringFromEnv("OTEL_TRACES_SAMPLER") ?? "") : "parentbased_traceidratio";
  const alwaysOn = new AlwaysOnSampler();
  if (name === "parentbased_traceidratio")
    return { sampler: new ParentBasedSampler({ root: alwaysOn }), rootShare: ratio };
  const samplers = new Map<string, Sampler>([
    ["always_on", alwaysOn],
    ["always_off", new AlwaysOffSampler()],
    ["traceidratio", new TraceIdRatioBasedSampler(ratio)],
  ]);
  const root = samplers.get(name.replace("parentbased_", "")) ?? alwaysOn;
  return { sampler: samplers.get(name) ?? new ParentBasedSampler({ root }) };
}

/** Logs at most one line a minute while the collector is down. */
function quietLogger() {
  const log = getLogger("tracing");
  const allowed = rateLimiter(warningIntervalMs);
  const warn = (message: string): void => {
    if (allowed() > 0) log.warning("telemetry cannot be exported: {message}", { message });
  };
  const ignore = (): void => {};
  return { error: warn, warn, info: ignore, debug: ignore, verbose: ignore };
}
