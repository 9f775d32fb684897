/**
 * Sends the metrics of `/metrics` to a collector, under the same names and labels: OTLP over HTTP as gzipped protobuf,
 * with cumulative values. The SDK sends them periodically; nothing waits in a queue, since the next values replace those
 * that could not be sent. The standard OTEL_EXPORTER_ variables apply.
 */
import { ValueType } from "@opentelemetry/api";
import {
  type ExportResult,
  ExportResultCode,
  getNumberFromEnv,
  getStringFromEnv,
  millisToHrTime,
} from "@opentelemetry/core";
import { CompressionAlgorithm, OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from "@opentelemetry/otlp-exporter-base/node-http";
import { MetricsExporterMetricsHelper, ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import {
  AggregationTemporality,
  DataPointType,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import { type CollectedMetric, collectMetrics, processStartMs } from "./metrics.ts";
import { type NodeAttributes, otelResource } from "./otel-resource.ts";
import { exportReports } from "./otlp-target.ts";
import { shutDown } from "./shutdown.ts";

export interface MetricExport {
  /** Exports the last values, for some seconds at most, and ends the export. Never rejects. */
  stop(): Promise<void>;
}

const [intervalMsDefault, timeoutMsDefault] = [60_000, 30_000];
const scope = { name: "ostiary" };

export function startMetricSdk(attributes: NodeAttributes): MetricExport {
  const resource = otelResource(attributes);
  const collect = async () => {
    const nowMs = Date.now();
    const present = (await collectMetrics()).filter(({ series }) => series.length > 0);
    const metrics = present.map((metric) => metricDataOf(metric, nowMs));
    return { resourceMetrics: { resource, scopeMetrics: [{ scope, metrics }] }, errors: [] };
  };
  const exportIntervalMillis = positive("OTEL_METRIC_EXPORT_INTERVAL") ?? intervalMsDefault;
  const timeoutMs = positive("OTEL_METRIC_EXPORT_TIMEOUT") ?? timeoutMsDefault;
  const reader = new PeriodicExportingMetricReader({
    exporter: new MetricExporter(),
    exportIntervalMillis,
    exportTimeoutMillis: Math.min(timeoutMs, exportIntervalMillis),
    metricProducers: [{ collect }],
  });
  const provider = new MeterProvider({ resource, readers: [reader] });
  return { stop: () => shutDown(provider) };
}

function positive(variable: string): number | undefined {
  const value = getNumberFromEnv(variable);
  return value !== undefined && value > 0 ? value : undefined;
}

class MetricExporter extends OTLPExporterBase<ResourceMetrics> {
  readonly #report = exportReports("metrics");

  constructor() {
    const own = getStringFromEnv("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION");
    const given = own ?? getStringFromEnv("OTEL_EXPORTER_OTLP_COMPRESSION");
    const options = {
      ...(given === undefined && { compression: CompressionAlgorithm.GZIP }),
      // A second export while one hangs would send nothing new.
      concurrencyLimit: 1,
    };
    const http = convertLegacyHttpOptions(options, "METRICS", "v1/metrics", {
      "Content-Type": "application/x-protobuf",
    });
    const type = "otlp_http_metric_exporter";
    super(createOtlpHttpExportDelegate(http, ProtobufMetricsSerializer, type, MetricsExporterMetricsHelper, undefined));
  }

  override export(metrics: ResourceMetrics, done: (result: ExportResult) => void): void {
    super.export(metrics, (result) => {
      this.#report(result);
      // The reader would log each failure.
      done({ code: ExportResultCode.SUCCESS });
    });
  }
}

function metricDataOf(metric: CollectedMetric, nowMs: number): MetricData {
  const { name, help } = metric;
  const common = {
    descriptor: { name, description: help, unit: unitOf(name), valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  const [startTime, endTime] = [millisToHrTime(processStartMs), millisToHrTime(nowMs)];
  const points = <Value, Sent>(
    series: readonly { readonly labels: CollectedMetric["series"][number]["labels"]; readonly value: Value }[],
    sent: (value: Value) => Sent,
  ) => series.map(({ labels, value }) => ({ startTime, endTime, attributes: stringsOf(labels), value: sent(value) }));
  if (metric.type === "histogram") {
    const boundaries = [...metric.bounds];
    const dataPoints = points(metric.series, ({ counts, sum }) => ({
      buckets: { boundaries, counts: [...counts] },
      ...{ sum, count: counts.reduce((total, count) => total + count, 0) },
    }));
    return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints };
  }
  const dataPoints = points(metric.series, (value) => value);
  return metric.type === "counter"
    ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
}

/** As in `/metrics`, where all values of labels are strings. */
function stringsOf(labels: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]));
}

/** Only units that the name has already, since collectors add the others to it. */
function unitOf(name: string): string {
  if (/_seconds(?:_total)?$/.test(name)) return "s";
  return /_bytes(?:_total)?$/.test(name) ? "By" : "";
}
