/**
 * Export of the metrics to a collector, if the standard OTEL_ variables name one. The packages of OpenTelemetry are
 * loaded only then.
 */
import { getLogger } from "./logger.ts";
import type { MetricExport } from "./metric-sdk.ts";
import type { NodeAttributes } from "./otel-resource.ts";

/** `attributes` are the same as in traces. */
export async function startMetricExport(attributes: NodeAttributes): Promise<MetricExport> {
  if (!isConfigured(process.env)) return { stop: () => Promise.resolve() };
  const { startMetricSdk } = await import("./metric-sdk.ts");
  return startMetricSdk(attributes);
}

/** Other exporters than OTLP are not needed: Prometheus asks `/metrics`. */
function isConfigured(environment: NodeJS.ProcessEnv): boolean {
  const endpoints = [environment["OTEL_EXPORTER_OTLP_ENDPOINT"], environment["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]];
  if (!endpoints.some(Boolean) || environment["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return false;
  const exporters = (environment["OTEL_METRICS_EXPORTER"] || "otlp").split(",").map((name) => name.trim());
  if (exporters.includes("otlp")) return true;
  const others = exporters.filter((name) => name !== "none" && name !== "prometheus");
  for (const name of others)
    getLogger("metrics").warning("OTEL_METRICS_EXPORTER is {name}, only otlp and none have an effect", { name });
  return false;
}
