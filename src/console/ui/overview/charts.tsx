/** The charts of the last hour. */
import type { MetricsHistory } from "../api/responses.ts";
import { Chart, type ChartLine } from "../components/chart.tsx";
import { formatDuration, formatNumber, formatShare } from "../components/format.ts";
import { overviewTexts as words } from "../texts/overview.ts";

export default function Charts({ history }: { readonly history: MetricsHistory }) {
  const { charts } = words;
  const { times, series } = history;
  if (times.length === 0) return <p>{words.nothingYet}</p>;
  const line = (label: string, values: ChartLine["values"]): ChartLine => ({ label, values });
  const rate = (values: ChartLine["values"]) => [line(charts.rate, values)];
  const share = (values: ChartLine["values"]) => [line(charts.share, values)];
  const percentiles = (p50: ChartLine["values"], p99: ChartLine["values"]) => [
    line(charts.p50, p50),
    line(charts.p99, p99),
  ];
  const latency = percentiles(series.decision_p50_ms, series.decision_p99_ms);
  const visible = percentiles(series.commit_to_visible_p50_ms, series.commit_to_visible_p99_ms);
  return (
    <div class="charts">
      <Chart title={charts.decisions} times={times} lines={rate(series.decisions_per_second)} format={formatNumber} />
      <Chart title={charts.latency} times={times} lines={latency} format={formatDuration} />
      <Chart title={charts.allowed} times={times} lines={share(series.allowed_share)} format={formatShare} max={1} />
      <Chart title={charts.cache} times={times} lines={share(series.cache_hit_share)} format={formatShare} max={1} />
      <Chart title={charts.visible} times={times} lines={visible} format={formatDuration} />
      <Chart title={charts.errors} times={times} lines={rate(series.errors_per_second)} format={formatNumber} />
    </div>
  );
}
