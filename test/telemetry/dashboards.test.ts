/**
 * The dashboards for Grafana: valid as far as the parts of its schema that they use are known, with variables and
 * metrics that exist. `test/e2e/monitoring.integration.test.ts` runs their queries with a real Prometheus.
 */
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { dashboards, describedMetrics, groupedLabelsOf, selectorsOf } from "./observability.ts";

/** Columns of a dashboard. */
const columns = 24;
const units = ["bytes", "Bps", "none", "percentunit", "reqps", "s", "short", "wps"] as const;
const builtIn = ["__rate_interval", "__all"];

const datasource = z.strictObject({ type: z.literal("prometheus"), uid: z.literal("${datasource}") });
const color = z.enum(["green", "orange", "red"]);
const thresholds = z.strictObject({
  mode: z.literal("absolute"),
  // The first step has no lower bound.
  steps: z.tuple([z.strictObject({ color, value: z.null() })], z.strictObject({ color, value: z.number() })),
});
const target = z.strictObject({
  refId: z.string().regex(/^[A-Z]$/),
  datasource,
  editorMode: z.literal("code"),
  expr: z.string().min(1),
  legendFormat: z.string(),
  range: z.boolean(),
  instant: z.boolean(),
  format: z.enum(["heatmap", "table"]).optional(),
});
const gridPos = z.strictObject({
  x: z.int().min(0),
  y: z.int().min(0),
  w: z.int().min(1).max(columns),
  h: z.int().min(1),
});
const place = { id: z.int().positive(), title: z.string().min(1), gridPos };
const row = z.strictObject({ ...place, type: z.literal("row"), collapsed: z.literal(false), panels: z.tuple([]) });
const panel = z.strictObject({
  ...place,
  type: z.enum(["stat", "timeseries", "state-timeline", "heatmap", "table"]),
  description: z.string(),
  datasource,
  targets: z.array(target).min(1),
  fieldConfig: z.strictObject({
    defaults: z.looseObject({ unit: z.enum(units), thresholds, mappings: z.array(z.unknown()) }),
    overrides: z.tuple([]),
  }),
  options: z.looseObject({}),
  transformations: z.array(z.strictObject({ id: z.literal("organize"), options: z.looseObject({}) })).optional(),
});
const choice = { name: z.string(), label: z.string(), hide: z.literal(0), skipUrlSync: z.literal(false) };
const listed = {
  ...{ options: z.tuple([]), regex: z.literal(""), multi: z.boolean(), includeAll: z.boolean() },
  current: z.looseObject({}),
};
const variable = z.discriminatedUnion("type", [
  z.strictObject({
    ...{ ...choice, ...listed },
    type: z.literal("datasource"),
    query: z.literal("prometheus"),
    refresh: z.literal(1),
  }),
  z.strictObject({
    ...{ ...choice, ...listed, datasource },
    type: z.literal("query"),
    definition: z.string(),
    query: z.strictObject({ query: z.string(), refId: z.string() }),
    /** When the time range changes. */
    refresh: z.literal(2),
    sort: z.literal(1),
    allValue: z.literal(".*").optional(),
  }),
]);
const dashboard = z.looseObject({
  id: z.null(),
  uid: z.string().regex(/^ostiary-[a-z]+$/),
  title: z.string().startsWith("Ostiary: "),
  tags: z.tuple([z.literal("ostiary")]),
  schemaVersion: z.literal(39),
  panels: z.array(z.discriminatedUnion("type", [row, panel])),
  templating: z.strictObject({ list: z.array(variable) }),
  time: z.strictObject({ from: z.literal("now-1h"), to: z.literal("now") }),
  refresh: z.literal("30s"),
});

test("there is one for the cluster, one for a node, one for decisions, and one for replication", () => {
  expect([...dashboards.keys()].toSorted()).toEqual([
    "decisions.json",
    "node.json",
    "overview.json",
    "replication.json",
  ]);
  const ids = [...dashboards.values()].map((content) => dashboard.parse(content).uid);
  expect(new Set(ids).size).toBe(ids.length);
});

describe.each([...dashboards])("%s", (_name, content) => {
  test("has panels that do not overlap, with ids of their own", () => {
    const { panels } = dashboard.parse(content);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const squares = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(columns);
      return Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`);
    });
    expect(new Set(squares).size).toBe(squares.length);
  });

  test("uses variables that it has", () => {
    const { panels, templating } = dashboard.parse(content);
    const names = templating.list.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["datasource", "cluster", "environment", "node"]));
    const texts = JSON.stringify([panels, templating]);
    const used = [...texts.matchAll(/\$\{?(\w+)/g)].map(([, name = ""]) => name);
    expect(used.filter((name) => !names.includes(name) && !builtIn.includes(name))).toEqual([]);
  });

  test("asks for metrics, and groups by labels, that exist", () => {
    const { panels } = dashboard.parse(content);
    const known = new Map(describedMetrics.map(({ name, labelNames }) => [name, labelNames]));
    const exprs = panels.flatMap((each) => (each.type === "row" ? [] : each.targets.map(({ expr }) => expr)));
    expect(exprs.length).toBeGreaterThan(10);
    for (const expr of exprs) {
      const labels = ["le", "cluster", "instance", "job", "alertname", "alertstate"];
      for (const { metric, labels: matched } of selectorsOf(expr)) {
        const own = metric === "up" || metric === "ALERTS" ? [] : known.get(metric.replace(/_(?:bucket|count)$/, ""));
        expect({ metric, isKnown: own !== undefined }).toEqual({ metric, isKnown: true });
        labels.push(...(own ?? []));
        expect(matched.filter((label) => !labels.includes(label))).toEqual([]);
      }
      expect(groupedLabelsOf(expr).filter((label) => !labels.includes(label))).toEqual([]);
    }
  });
});
