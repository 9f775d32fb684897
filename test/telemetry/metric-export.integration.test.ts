/** Metrics that a node exports to a collector: the same as those of `/metrics`, and only if a collector is configured. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { startCollector, type Collector, type Metric } from "../../scripts/otlp-collector.ts";
import { must } from "../../src/util/assert.ts";
import { ask, inDirectory, loadPolicy, mayRead } from "../hostile/node.ts";
import { eventually } from "../replication/cluster.ts";
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
  withCollector((collector) =>
    inDirectory(async ({ node: nodeIn }) => {
      const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT" in settings ? { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } : {};
      const node = await nodeIn({
        environment: { ...settings, ...endpoint, OTEL_METRIC_EXPORT_INTERVAL: "300" },
      });
      await node.start();
      expect(await node.stop()).toBe(0);
      expect(collector.metrics.size).toBe(0);
      expect(node.output).not.toContain("exported");
    }),
  ),
);

test("a collector that fails is logged once, and gets the metrics when it works again", () =>
  inDirectory(async ({ node: nodeIn }) => {
    let [requests, isBroken] = [0, true];
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      development: false,
      fetch(request) {
        expect(new URL(request.url).pathname).toBe("/metrics-only");
        requests++;
        return new Response(new Uint8Array(), { status: isBroken ? 400 : 200 });
      },
    });
    try {
      const endpoint = `http://127.0.0.1:${server.port}/metrics-only`;
      const node = await nodeIn({
        environment: { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: endpoint, OTEL_METRIC_EXPORT_INTERVAL: "300" },
      });
      await node.start();
      await eventually(() => expect(requests).toBeGreaterThan(2));
      isBroken = false;
      await eventually(() => expect(node.output).toContain("metrics are exported again"));
      expect(node.output.split("metrics cannot be exported").length - 1).toBe(1);
      expect(node.output).not.toContain("metrics export failed");
      expect(await node.stop()).toBe(0);
    } finally {
      await server.stop(true);
    }
  }));

test(
  "a collector that does not answer delays neither the start nor the stop",
  () =>
    inDirectory(async ({ node: nodeIn }) => {
      const server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        development: false,
        fetch: () => new Promise<Response>(() => {}),
      });
      try {
        const node = await nodeIn({
          environment: {
            OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${server.port}`,
            OTEL_METRIC_EXPORT_INTERVAL: "50",
          },
        });
        await node.start();
        expect((await loadPolicy(node)).status).toBe(200);
        // Both signals give up after 3 s.
        expect(await node.stop()).toBe(0);
      } finally {
        await server.stop(true);
      }
    }),
  60_000,
);
