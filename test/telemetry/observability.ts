/** The alerts and dashboards that the project ships (`appliance/observability`), as tests read them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { projectRoot } from "../../scripts/built-binary.ts";
import { describeMetrics } from "../../src/telemetry/metrics.ts";

// Adds the gauges of a node to the registry.
await import("../../src/roles/node-metrics.ts");
export const describedMetrics = describeMetrics();

export const observability = join(projectRoot, "appliance", "observability");
export const rulesText = readFileSync(join(observability, "ostiary.rules.yaml"), "utf8");

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  /** Undefined: the alert fires at once. */
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly AlertRule[] }[];
}

export const alertRules: readonly AlertRule[] = (parse(rulesText) as RuleFile).groups.flatMap(({ rules }) => rules);

const runbook = "{{ $externalLabels.console }}/console/#/manual/troubleshooting/";

/** The anchor of the section that the alert links to. Throws if the link leads elsewhere. */
export function sectionOf({ alert, annotations }: AlertRule): string {
  const { runbook_url: url } = annotations;
  if (!url.startsWith(runbook)) throw new Error(`${alert} links to ${url}`);
  return url.slice(runbook.length);
}

/** An expression on one line. */
export const onOneLine = (expr: string): string => expr.trim().replaceAll(/\s+/g, " ");

/** By the name of their file. */
export const dashboards: ReadonlyMap<string, unknown> = new Map(
  readdirSync(join(observability, "grafana")).map((name) => [
    name,
    JSON.parse(readFileSync(join(observability, "grafana", name), "utf8")) as unknown,
  ]),
);

export interface Selector {
  readonly metric: string;
  /** The labels of its matchers. */
  readonly labels: readonly string[];
}

/** The series that an expression selects. */
export function selectorsOf(expr: string): Selector[] {
  return [...expr.matchAll(/\b((?:ostiary|oso|process)_\w+|up|ALERTS)\b(?:\{([^}]*)\})?/g)].map(
    ([, metric = "", matchers = ""]) => ({
      metric,
      labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label),
    }),
  );
}

/** The labels by which an expression groups and joins. */
export function groupedLabelsOf(expr: string): string[] {
  return [...expr.matchAll(/\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)/g)]
    .flatMap(([, labels = ""]) => labels.split(","))
    .map((label) => label.trim())
    .filter((label) => label !== "");
}
