/**
 * The configured OpenTelemetry SDK: OTLP over HTTP as gzipped protobuf (the cheapest form, 9 µs per span), batches, and
 * a context that follows `await`. Loaded only if there is a collector. The standard OTEL_ variables apply; SDK 3 itself
 * reads only those of exporter and resource.
 */
import { context, diag, DiagLogLevel, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { getNumberFromEnv, getStringFromEnv } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from "@opentelemetry/sdk-trace";
import { rateLimiter } from "../util/rate-limiter.ts";
import { getLogger } from "./logger.ts";
import { otelResource } from "./otel-resource.ts";

export interface TracingOptions {
  /** If set, it overrides OTEL_TRACES_SAMPLER. */
  readonly sampleRatio?: number | undefined;
  /** Attributes of this node in addition to the name of the service: role, node, version, environment. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Sdk extends Tracing {
  /** The share of the traces that begin here which are to be started. Undefined if the sampler decides. */
  readonly rootShare: number | undefined;
}

export interface Tracing {
  /** Exports the remaining spans, for some seconds at most, and ends tracing. */
  stop(): Promise<void>;
}

const stopTimeoutMs = 3000; // a dead collector must not delay a shutdown for longer
const warningIntervalMs = 60_000;

export function startSdk(options: TracingOptions): Sdk {
  diag.setLogger(quietLogger(), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const exporter = new OTLPTraceExporter(
    getStringFromEnv("OTEL_EXPORTER_OTLP_COMPRESSION") === undefined ? ({ compression: "gzip" } as object) : {},
  );
  const { sampler, rootShare } = samplingOf(options.sampleRatio);
  const provider = new TracerProvider({
    sampler,
    resource: otelResource(options.attributes),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        exportTimeoutMillis: stopTimeoutMs,
        scheduledDelayMillis: getNumberFromEnv("OTEL_BSP_SCHEDULE_DELAY") ?? 1000,
        maxQueueSize: getNumberFromEnv("OTEL_BSP_MAX_QUEUE_SIZE") ?? 8192,
      }),
    ],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
  return { rootShare, stop: () => stop(provider) };
}

async function stop(provider: TracerProvider): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, stopTimeoutMs);
  await Promise.race([provider.shutdown().catch(() => undefined), late.promise]);
  clearTimeout(timer);
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
    if (allowed() > 0) log.warning("traces cannot be exported: {message}", { message });
  };
  const ignore = (): void => {};
  return { error: warn, warn, info: ignore, debug: ignore, verbose: ignore };
}
