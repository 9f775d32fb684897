/** The metrics of the last hour, extended by the newest samples. Pure. */
import type { HistorySeries, MetricsHistory } from "../api/responses.ts";

const hourMs = 3_600_000;

/** The address of the samples that `known` lacks. */
export function historyPath(known: MetricsHistory | undefined): string {
  const last = known?.times.at(-1);
  const path = "/api/metrics_history";
  return last === undefined ? path : `${path}?since=${encodeURIComponent(new Date(last).toISOString())}`;
}

/** `known` and the newer samples, without those that are older than an hour. */
export function extended(known: MetricsHistory | undefined, newer: MetricsHistory): MetricsHistory {
  if (known === undefined) return newer;
  const times = [...known.times, ...newer.times];
  const oldestMs = (times.at(-1) ?? 0) - hourMs;
  const first = times.findIndex((timeMs) => timeMs >= oldestMs);
  const join = (name: HistorySeries) => [...known.series[name], ...newer.series[name]].slice(first);
  const series = Object.keys(newer.series).map((name) => [name, join(name as HistorySeries)] as const);
  return { ...newer, times: times.slice(first), series: Object.fromEntries(series) as Record<HistorySeries, number[]> };
}

/** The newest value of a series; undefined if there is none. */
export function latest(history: MetricsHistory | undefined, name: HistorySeries): number | undefined {
  return history?.series[name].at(-1) ?? undefined;
}
