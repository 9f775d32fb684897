/** The collectors that the standard OTEL_EXPORTER_OTLP_ variables name, and what the log says if one cannot be used. */
import { type ExportResult, ExportResultCode, getStringFromEnv, parseKeyPairsIntoRecord } from "@opentelemetry/core";
import { connectionProblem, reasonOf } from "../util/reason.ts";
import { getLogger } from "./logger.ts";

export interface OtlpTarget {
  readonly url: string;
  /** May hold credentials. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Undefined if no collector is configured. */
export function otlpLogTarget(): OtlpTarget | undefined {
  const url = collectorUrl("logs");
  if (url === undefined) return undefined;
  const names = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"];
  const headers = names.map((name) => parseKeyPairsIntoRecord(getStringFromEnv(name)));
  return { url, headers: Object.assign({}, ...headers) as Record<string, string> };
}

/** As the specification says, the general endpoint gets the path of the signal, and that of the signal is complete. */
function collectorUrl(signal: "logs" | "metrics" | "traces"): string | undefined {
  const own = getStringFromEnv(`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`);
  if (own !== undefined) return own;
  const general = getStringFromEnv("OTEL_EXPORTER_OTLP_ENDPOINT");
  return general === undefined ? undefined : `${general.replace(/\/+$/, "")}/v1/${signal}`;
}

/** Why nothing was sent to the collector at `url`, with its address, and without the credentials that this can hold. */
export function exportProblem(url: string, error: unknown): string {
  const { origin, pathname } = URL.parse(url) ?? { origin: "", pathname: "an address that is no URL" };
  const { code } = (error ?? {}) as { readonly code?: unknown };
  const answer = typeof code === "number" ? `it answers ${code} ${reasonOf(error)}`.trimEnd() : undefined;
  return `${origin}${pathname}: ${answer ?? connectionProblem(error) ?? (reasonOf(error) || "the reason is unknown")}`;
}

/** Logs the first of several failed exports, and the first that succeeds after them. */
export function exportReports(signal: "metrics" | "traces"): (result: ExportResult) => void {
  const log = getLogger(signal === "metrics" ? "metrics" : "tracing");
  const url = collectorUrl(signal) ?? "";
  let hasFailed = false;
  return ({ code, error }) => {
    const fails = code !== ExportResultCode.SUCCESS;
    if (fails && !hasFailed)
      log.warning("{signal} cannot be exported to {problem}; trying again", {
        signal,
        problem: exportProblem(url, error),
      });
    if (!fails && hasFailed) log.info("{signal} are exported again", { signal });
    hasFailed = fails;
  };
}
