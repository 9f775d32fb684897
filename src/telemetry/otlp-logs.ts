/**
 * Sends log records to a collector: OTLP over HTTP as gzipped JSON. There is no queue here: the caller keeps its records
 * until they have arrived.
 */
import { gzipSync } from "node:zlib";
import { JsonLogsSerializer } from "@opentelemetry/otlp-transformer";
import { otelResource } from "./otel-resource.ts";
import { exportProblem, type OtlpTarget } from "./otlp-target.ts";

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

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** `attributes` are those of the node. The errors of `fetch` have the codes of the system. */
export function otlpLogSender(
  { url, headers }: OtlpTarget,
  attributes: Readonly<Record<string, string>>,
  fetch: Fetch,
): SendRecords {
  const resource = otelResource(() => attributes);
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
    }).catch((error: unknown) => {
      throw new Error(exportProblem(url, error), { cause: error });
    });
    await response.body?.cancel();
    const { ok, status: code, statusText } = response;
    if (!ok) throw new Error(exportProblem(url, Object.assign(new Error(statusText), { code })));
  };
}
