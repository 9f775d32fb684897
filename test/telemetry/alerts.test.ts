/**
 * The alerts for Prometheus: each belongs to a section of the manual, and asks for metrics and labels that exist.
 * `test/e2e/monitoring.integration.test.ts` runs the unit tests of `ostiary.rules.test.yaml`, and with a real Prometheus,
 * `test/e2e/monitoring.full.test.ts` causes each failure.
 */
import { describe, expect, test } from "bun:test";
import { anchorsOf, linksOf, readDocument } from "../manual/document.ts";
import { alertRules, describedMetrics, groupedLabelsOf, onOneLine, sectionOf, selectorsOf } from "./observability.ts";

const troubleshooting = readDocument("appliance/manual/troubleshooting.md");
const consistency = readDocument("appliance/manual/consistency.md");

/** Those that Prometheus adds, and `cluster` from `prometheus.yaml`. */
const targetLabels = ["cluster", "instance", "job"];
const metrics = new Map(
  describedMetrics.flatMap(({ name, type, labelNames }) => {
    if (type !== "histogram") return [[name, labelNames] as const];
    const suffixes = [
      ["_bucket", [...labelNames, "le"]],
      ["_sum", labelNames],
      ["_count", labelNames],
    ] as const;
    return suffixes.map(([suffix, labels]) => [name + suffix, labels] as const);
  }),
);

describe.each(alertRules.map((rule) => [rule.alert, rule] as const))("%s", (_name, rule) => {
  test("has a severity, a summary, a description and a section of the manual", () => {
    expect(rule.alert).toMatch(/^Ostiary[A-Z]\w+$/);
    expect(["critical", "warning", "info"]).toContain(rule.labels.severity);
    expect(rule.for ?? "1m").toMatch(/^(?:[1-9]m|1d)$/);
    expect(rule.annotations.summary).toMatch(/^[A-Z].*[^.]$/);
    expect(rule.annotations.description).toMatch(/\{\{ \$(?:labels|value).*\.$/);
    expect([...anchorsOf(troubleshooting.text)]).toContain(sectionOf(rule));
  });

  test("uses metrics and labels that exist", () => {
    const selectors = selectorsOf(rule.expr);
    expect(selectors).not.toEqual([]);
    const labelsOf = (metric: string) => [...(metrics.get(metric) ?? []), ...targetLabels];
    for (const { metric, labels } of selectors) {
      expect(metric === "up" || metrics.has(metric) ? "exists" : metric).toBe("exists");
      expect(labels.filter((label) => !labelsOf(metric).includes(label))).toEqual([]);
    }
    const known = selectors.flatMap(({ metric }) => labelsOf(metric));
    expect(groupedLabelsOf(rule.expr).filter((label) => !known.includes(label))).toEqual([]);
    const shown = [...JSON.stringify(rule.annotations).matchAll(/\$labels\.(\w+)/g)].map(([, label = ""]) => label);
    expect(shown.filter((label) => !known.includes(label))).toEqual([]);
  });
});

test("each section of the troubleshooting page with an expression is one alert, and each alert is one section", () => {
  const [, ...all] = troubleshooting.text.split(/^## /m);
  const sections = all.flatMap((section) => {
    const [, expr] = /^```promql\n(.*?)\n```$/ms.exec(section) ?? [];
    const [anchor = ""] = anchorsOf(`## ${section.slice(0, section.indexOf("\n"))}`);
    return expr === undefined ? [] : [[anchor, onOneLine(expr)] as const];
  });
  expect(new Set(alertRules.map(({ alert }) => alert)).size).toBe(alertRules.length);
  const byName = (pairs: readonly (readonly [string, string])[]) => pairs.toSorted(([a], [b]) => (a < b ? -1 : 1));
  const rules = alertRules.map((rule) => [sectionOf(rule), onOneLine(rule.expr)] as const);
  expect(byName(sections)).toEqual(byName(rules));
});

test("each failure that the manual lists has an alert, or needs none", () => {
  const [, table = ""] = /^## What happens when things break\n\n(.*?)\n\n/ms.exec(consistency.text) ?? [];
  const [heading = "", , ...rows] = table.split("\n");
  expect(heading).toMatch(/\| alert +\|$/);
  expect(rows.length).toBeGreaterThan(20);
  const sections = alertRules.map((rule) => `troubleshooting.md#${sectionOf(rule)}`);
  const unexplained = rows.filter((row) => {
    const cell = row.split("|").at(-2)?.trim() ?? "";
    const links = linksOf(cell);
    return cell.startsWith("none: ")
      ? links.length > 0
      : links.length === 0 || !links.every((to) => sections.includes(to));
  });
  expect(unexplained).toEqual([]);
});
