/**
 * Sends log records to a collector: OTLP over HTTP as gzipped JSON. There is no queue here: the caller keeps its records
 * until they have arrived.
 */
import { gzipSync } from "node:zlib";
import { JsonLogsSerializer } from "@opentelemetry/otlp-transformer";
import { otelResource } from "./otel-resource.ts";
import type { OtlpTarget } from "./otlp-target.ts";

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

/** `attributes` are those of the node. */
export function otlpLogSender({ url, headers }: OtlpTarget, attributes: Readonly<Record<string, string>>): SendRecords {
  const resource = otelResource(attributes);
  const sentHeaders = { ...headers, "Content-Type": "application/json", "Content-Encoding": "gzip" };
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
      headers: sentHeaders,
      body: new Uint8Array(gzipSync(bytes)),
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`the collector answered ${response.status}`);
  };
}
