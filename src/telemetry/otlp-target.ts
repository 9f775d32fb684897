/** The collector for log records, from the standard OTEL_EXPORTER_OTLP_ variables. */
import { getStringFromEnv, parseKeyPairsIntoRecord } from "@opentelemetry/core";

export interface OtlpTarget {
  readonly url: string;
  /** May hold credentials. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Undefined if no collector is configured. */
export function otlpLogTarget(): OtlpTarget | undefined {
  const url = collectorUrl();
  if (url === undefined) return undefined;
  const names = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"];
  const headers = names.map((name) => parseKeyPairsIntoRecord(getStringFromEnv(name)));
  return { url, headers: Object.assign({}, ...headers) as Record<string, string> };
}

/** As the specification says, the general endpoint gets the path of the signal, and that of the signal is complete. */
function collectorUrl(): string | undefined {
  const own = getStringFromEnv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT");
  if (own !== undefined) return own;
  const general = getStringFromEnv("OTEL_EXPORTER_OTLP_ENDPOINT");
  return general === undefined ? undefined : `${general.replace(/\/+$/, "")}/v1/logs`;
}
