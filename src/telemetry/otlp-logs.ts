/**
 * Sends log records to a collector: OTLP over HTTP as gzipped JSON. The standard OTEL_EXPORTER_OTLP_ variables name the
 * collector and its headers. There is no queue here: the sender keeps its records until they have arrived.
 */
import { gzipSync } from "node:zlib";
import { getStringFromEnv, parseKeyPairsIntoRecord } from "@opentelemetry/core";
import { JsonLogsSerializer } from "@opentelemetry/otlp-transformer";
import { otelResource } from "./otel-resource.ts";

export interface OtlpRecord {
  readonly timeMs: number;
  readonly eventName: string;
  readonly body: string;
  readonly traceId: string | null;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

/** Sends records. Rejects if the collector does not accept them: then they may have to be sent again. */
export type SendRecords = (records: readonly OtlpRecord[]) => Promise<void>;

type SerializedRecord = Parameters<typeof JsonLogsSerializer.serializeRequest>[0][number];

const timeoutMs = 10_000;
const info = 9;
const scope = { name: "ostiary" };

/** Undefined if no collector is configured. `attributes` are those of the node. */
export function otlpLogSender(attributes: Readonly<Record<string, string>>): SendRecords | undefined {
  const url = collectorUrl();
  if (url === undefined) return undefined;
  const resource = otelResource(attributes);
  const headers = {
    ...parseKeyPairsIntoRecord(getStringFromEnv("OTEL_EXPORTER_OTLP_HEADERS")),
    ...parseKeyPairsIntoRecord(getStringFromEnv("OTEL_EXPORTER_OTLP_LOGS_HEADERS")),
    "Content-Type": "application/json",
    "Content-Encoding": "gzip",
  };
  return async (records) => {
    const serialized = records.map(({ timeMs, traceId, body, eventName, attributes: own }): SerializedRecord => {
      const hrTime: [number, number] = [Math.floor(timeMs / 1000), Math.round((timeMs % 1000) * 1e6)];
      return {
        ...{ hrTime, hrTimeObserved: hrTime, severityNumber: info, severityText: "INFO", body, eventName },
        ...(traceId !== null && { spanContext: { traceId, spanId: "", traceFlags: 1 } }),
        ...{ resource, instrumentationScope: scope, attributes: own, droppedAttributesCount: 0 },
      };
    });
    const bytes = JsonLogsSerializer.serializeRequest(serialized) ?? new Uint8Array();
    const response = await fetch(url, {
      method: "POST",
      headers,
      body: new Uint8Array(gzipSync(bytes)),
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`the collector answered ${response.status}`);
  };
}

/** As the specification says, the general endpoint gets the path of the signal, and that of the signal is complete. */
function collectorUrl(): string | undefined {
  const own = getStringFromEnv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT");
  if (own !== undefined) return own;
  const general = getStringFromEnv("OTEL_EXPORTER_OTLP_ENDPOINT");
  return general === undefined ? undefined : `${general.replace(/\/+$/, "")}/v1/logs`;
}
