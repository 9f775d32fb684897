/** `ostiary metrics`: prints what a running node did in the last minutes, as the charts of the console show it. */
import { InvalidArgumentError, type Command } from "commander";
import { metricEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { print } from "../../runtime/process.ts";
import { historyFields } from "../../telemetry/metric-history.ts";
import { printWarning } from "../../cli/color.ts";
import type { AddCommand } from "../../cli/command.ts";
import { accessOf, callEndpoint, withAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

const details = `
The node samples every 5 s and keeps an hour. A - means that there was nothing to measure. CACHED and VISIBLE are those of all
environments of the node, so only the default one has them. \`GET /metrics\` has all metrics.

Examples:
  ostiary metrics                          the last minute
  ostiary metrics --minutes 60 --json      the last hour, as JSON`;

const minutesMax = 60;

export const metricsCommand: AddCommand = (program) => {
  const command = program
    .command("metrics")
    .description("Print what a running node did in the last minutes: rates, durations and shares")
    .option("--minutes <n>", "How many minutes, at most 60", minutesIn, 1)
    .option("--json", "Print the samples as JSON, one per line");
  withAccess(command, metricEndpoints.getMetricsHistory)
    .addHelpText("after", details)
    .action(async ({ minutes, json }: { readonly minutes: number; readonly json?: true }, self: Command) => {
      const history = await callEndpoint(accessOf(self), metricEndpoints.getMetricsHistory);
      const samples = samplesOf(history, minutes);
      if (samples.length === 0) await printWarning("the node has no samples of this time yet: it takes one every 5 s");
      await print(json ? samples.map((sample) => `${JSON.stringify(sample)}\n`).join("") : textOf(samples));
    });
};

function minutesIn(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= minutesMax) return Number(text);
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${minutesMax}.`);
}

interface Sample {
  readonly time: string;
  readonly values: Readonly<Record<(typeof historyFields)[number], number | null>>;
}

/** The newest samples, oldest first. The clock of the node counts, not that of this machine. */
function samplesOf(
  { interval_ms, times, series }: ResponseOf<typeof metricEndpoints.getMetricsHistory>,
  minutes: number,
): Sample[] {
  const count = Math.ceil((minutes * 60_000) / interval_ms);
  const first = Math.max(0, times.length - count);
  return times.slice(first).map((timeMs, index) => ({
    time: new Date(timeMs).toISOString(),
    values: Object.fromEntries(
      historyFields.map((field) => [field, series[field][first + index] ?? null]),
    ) as Sample["values"],
  }));
}

const columns = {
  "DECISIONS/S": ["decisions_per_second", 1],
  ALLOWED: ["allowed_share", 100],
  P50: ["decision_p50_ms", 1],
  P99: ["decision_p99_ms", 1],
  CACHED: ["cache_hit_share", 100],
  VISIBLE: ["commit_to_visible_p99_ms", 1],
  "ERRORS/S": ["errors_per_second", 1],
} as const;

function textOf(samples: readonly Sample[]): string {
  const rows = samples.map(({ time, values }) => [
    time,
    ...Object.values(columns).map(([field, factor]) => formatted(values[field], field, factor)),
  ]);
  return table(["TIME", ...Object.keys(columns)], rows);
}

function formatted(value: number | null, field: string, factor: number): string {
  if (value === null) return "-";
  const unit = field.endsWith("_ms") ? " ms" : field.endsWith("_share") ? "%" : "";
  return `${Number((value * factor).toPrecision(3))}${unit}`;
}
