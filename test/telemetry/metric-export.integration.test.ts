/** Metrics that a node exports to a collector: the same as those of `/metrics`, and only if a collector is configured. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { startCollector, type Collector, type Metric } from "../../scripts/otlp-collector.ts";
import { freePort } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { ask, inDirectory, loadPolicy, mayRead } from "../hostile/node.ts";
import { startMetricExport } from "../../src/telemetry/metric-export.ts";
import { withSpan } from "../../src/telemetry/tracing.ts";
import { withCapturedLog } from "../replication/captured-log.ts";
import { eventually } from "../replication/cluster.ts";
import { whileTracing, withVariables } from "./traced-work.ts";
import { parsePrometheus } from "./prometheus-text.ts";

async function withCollector(body: (collector: Collector) => Promise<void>): Promise<void> {
  const collector = startCollector();
  try {
    await body(collector);
  } finally {
    await collector.stop();
  }
}

const isOf = (name: string) => (metric: Metric) => metric.name === name;

test("a node exports the metrics of /metrics, with the same names, labels and values", () =>
  withCollector((collector) =>
    inDirectory(async ({ node: nodeIn }) => {
      const node = await nodeIn({
        environment: {
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
          OTEL_METRIC_EXPORT_INTERVAL: "200",
          OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test",
        },
      });
      await node.start();
      await loadPolicy(node);
      for (let count = 0; count < 5; count++) expect(await mayRead(node, `user-${count}`)).toBe(false);
      const exported = () => must(collector.metrics.get("primary"));
      const points = (name: string) => exported().metrics.find(isOf(name))?.points ?? [];
      const denied = () => points("ostiary_decisions_total").find(({ attributes }) => attributes["result"] === "deny");
      await eventually(() => expect(denied()?.value).toBe(5));

      const { resource, metrics } = exported();
      expect(resource).toMatchObject({
        "service.name": "ostiary",
        "service.instance.id": "primary",
        "ostiary.role": "primary",
        "ostiary.environment": "test",
        "deployment.environment": "test",
      });
      const all = parsePrometheus((await ask(node, "GET", "/metrics")).text);
      const families = all.filter(({ samples }) => samples.length > 0);
      expect(metrics.map(({ name }) => name)).toEqual(families.map(({ name }) => name));
      const types = { counter: "sum", gauge: "gauge", histogram: "histogram" } as const;
      for (const { name, type, help, samples } of families) {
        const metric = must(metrics.find(isOf(name)));
        expect({ name, type: metric.type }).toEqual({ name, type: types[type as keyof typeof types] });
        expect(metric.description).toBe(help.replaceAll("\\\\", "\\"));
        // 2 is cumulative.
        if (metric.type !== "gauge") expect(metric.temporality).toBe(2);
        if (metric.type === "sum") expect(metric.isMonotonic).toBe(true);
        const labels = (given: Iterable<readonly [string, unknown]>) =>
          JSON.stringify([...given].filter(([label]) => label !== "le").toSorted());
        const seen = new Set(samples.map((sample) => labels(sample.labels)));
        // A request after the export may have begun another series.
        for (const { attributes } of metric.points) expect([...seen]).toContain(labels(Object.entries(attributes)));
      }
      const decided = must(
        points("ostiary_http_request_duration_seconds").find(({ attributes }) => attributes["outcome"] === "deny"),
      );
      expect(decided.attributes).toEqual({ method: "POST", route: "/api/authorize", status: "200", outcome: "deny" });
      expect(decided.count).toBe(5);
      expect(decided.counts.reduce((total, count) => total + count, 0)).toBe(5);
      expect(decided.counts).toHaveLength(decided.bounds.length + 1);
      expect(decided.bounds[0]).toBe(0.00005);
      expect(decided.value).toBeGreaterThan(0);
      expect(decided.startMs).toBeLessThan(decided.timeMs);
      expect(metrics.find(isOf("ostiary_http_request_duration_seconds"))?.unit).toBe("s");

      // A stop exports the last values.
      expect(await mayRead(node, "last")).toBe(false);
      expect(await node.stop()).toBe(0);
      expect(denied()?.value).toBe(6);
    }),
  ));

test.each([
  ["no endpoint", {}],
  ["OTEL_METRICS_EXPORTER=none", { OTEL_EXPORTER_OTLP_ENDPOINT: "", OTEL_METRICS_EXPORTER: "none" }],
  ["OTEL_SDK_DISABLED", { OTEL_EXPORTER_OTLP_ENDPOINT: "", OTEL_SDK_DISABLED: "true" }],
])("with %s nothing is exported", (_what, settings) =>
  withCollector((collector) => {
    const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT" in settings ? { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } : {};
    return withVariables({ ...settings, ...endpoint }, async () => {
      const metricExport = await startMetricExport(() => ({}));
      // A stop exports the last values.
      await metricExport.stop();
      expect(collector.metrics.size).toBe(0);
    });
  }),
);

test("exported metrics have the present attributes of the node, such as its role after a failover", () =>
  withCollector((collector) =>
    withVariables({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, async () => {
      let role = "edge";
      const metricExport = await startMetricExport(() => ({ "service.instance.id": "node", "ostiary.role": role }));
      role = "primary";
      await metricExport.stop();
      expect(must(collector.metrics.get("node")).resource).toMatchObject({ "ostiary.role": "primary" });
    }),
  ));

test("a collector that fails is logged once, and gets the metrics when it works again", () =>
  withCapturedLog(async (lines) => {
    let [requests, isBroken] = [0, true];
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      development: false,
      async fetch(request) {
        // An answer before the end of the body closes the connection while the sender writes.
        await request.bytes();
        expect(new URL(request.url).pathname).toBe("/metrics-only");
        requests++;
        return new Response(new Uint8Array(), { status: isBroken ? 400 : 200 });
      },
    });
    const variables = {
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `http://127.0.0.1:${server.port}/metrics-only`,
      // Also the time that an export may take: a slow machine must not add failures of another kind.
      OTEL_METRIC_EXPORT_INTERVAL: "500",
    };
    try {
      await withVariables(variables, async () => {
        const metricExport = await startMetricExport(() => ({}));
        await eventually(() => expect(requests).toBeGreaterThan(2));
        isBroken = false;
        await eventually(() => expect(lines.join("")).toContain("metrics are exported again"));
        const problem = `metrics cannot be exported to ${variables.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT}: it answers 400 Bad Request`;
        expect(lines.join("").split("metrics cannot be exported").length - 1).toBe(1);
        expect(lines.join("")).toContain(problem);
        expect(lines.join("")).not.toContain("metrics export failed");
        await metricExport.stop();
      });
    } finally {
      await server.stop(true);
    }
  }, "info"));

test("traces that cannot be exported are reported with the address and the cause, without credentials", () =>
  withCapturedLog(async (lines) => {
    const port = await freePort();
    const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://user:secret@127.0.0.1:${port}/` };
    await whileTracing({ ...variables, OTEL_EXPORTER_OTLP_TIMEOUT: "100" }, { attributes: () => ({}) }, async () => {
      withSpan("work", {}, () => {});
      const problem = `traces cannot be exported to http://127.0.0.1:${port}/v1/traces: nothing listens there (ECONNREFUSED)`;
      await eventually(() => expect(lines.join("")).toContain(problem));
    });
    expect(lines.join("")).not.toContain("secret");
  }));

test("a collector that does not answer delays neither the start nor the stop", async () => {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    async fetch(request) {
      await request.bytes();
      return new Promise<Response>(() => {});
    },
  });
  const variables = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${server.port}`,
    OTEL_METRIC_EXPORT_INTERVAL: "50",
  };
  try {
    // Both signals give up after 3 s.
    await whileTracing(variables, { attributes: () => ({}) }, async () => {
      const metricExport = await startMetricExport(() => ({}));
      withSpan("exported never", { parent: null }, () => undefined);
      await metricExport.stop();
    });
  } finally {
    await server.stop(true);
  }
}, 60_000);
