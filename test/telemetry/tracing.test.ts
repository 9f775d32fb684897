import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startCollector, type Collector } from "../../scripts/otlp-collector.ts";
import { formatTraceparent, parseTraceparent } from "../../src/telemetry/trace-context.ts";
import { withSpan } from "../../src/telemetry/tracing.ts";
import { observe, whileTracing } from "./traced-work.ts";

let collector: Collector;
beforeAll(() => {
  collector = startCollector();
});
afterAll(() => collector.stop());

const traceId = "0af7651916cd43dd8448eb211c80319c";
const sampled = `00-${traceId}-b7ad6b7169203331-01`;
const unsampled = `00-${traceId}-b7ad6b7169203331-00`;

describe("with a collector", () => {
  test("spans nest across await, errors are marked, links and recorded spans are exported, and the standard variables apply", async () => {
    const seen = await observe({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: "my-ostiary",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test",
    });
    const spans = collector.trace(seen.traceId ?? "");
    const byName = new Map(spans.map((span) => [span.name, span]));
    const root = byName.get("request");
    expect(root).toMatchObject({ parentSpanId: "", node: "node-1", failed: false, attributes: { route: "/x" } });
    expect(byName.get("query")).toMatchObject({ parentSpanId: root?.spanId, failed: false });
    const told = byName.get("failing")?.failures ?? [];
    expect(told).toContain("no such luck with Bearer ********, mqtt://********@host and e_env_id_********");
    expect(told.join()).not.toMatch(/abc\.def|hunter2|0123456789abcdef/);
    expect(byName.get("failing")).toMatchObject({
      parentSpanId: root?.spanId,
      failed: true,
      attributes: { "error.type": "Error" },
    });
    expect(root?.attributes).not.toHaveProperty("ostiary.environment");
    expect(byName.get("hosted")?.attributes).toMatchObject({ own: 1, "ostiary.environment": "shop" });
    expect(byName.get("refused")).toMatchObject({
      failed: true,
      attributes: { "error.type": "invalid_request" },
      failures: [],
    });
    expect(byName.get("offloaded")).toMatchObject({
      failed: false,
      attributes: { "ostiary.offloaded": true },
      failures: [],
    });
    expect(byName.get("commit to visible")?.durationMs).toBeCloseTo(500, 0);
    expect(seen.inner).toBe(`00-${seen.traceId}-${byName.get("query")?.spanId}-01`);

    const received = collector.spans.find((span) => span.name === "receive");
    expect(received?.traceId).not.toBe(seen.traceId ?? "");
    expect(received?.links).toEqual([{ traceId: seen.traceId ?? "", spanId: root?.spanId ?? "" }]);
  });

  test("the caller's trace is continued if it is sampled, and not recorded otherwise", async () => {
    const endpoint = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces` };
    const seen = await observe(endpoint, sampled);
    expect(seen.traceId).toBe(traceId);
    expect(collector.trace(traceId).find((span) => span.name === "request")?.parentSpanId).toBe("b7ad6b7169203331");

    const before = collector.spans.length;
    const quiet = await observe(endpoint, unsampled);
    expect(quiet.outer).toBeNull();
    const roots = collector.spans.slice(before);
    expect(roots.map((span) => span.name).toSorted()).toEqual(["commit to visible", "hosted", "receive"]);
    expect(roots.every((span) => span.parentSpanId === "")).toBe(true);
  });

  test("exported spans have the present attributes of the node, such as its role after a failover", async () => {
    let node = "before";
    const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    const traceId = await whileTracing(variables, { attributes: () => ({ "service.instance.id": node }) }, async () => {
      node = "after";
      return withSpan("work", { parent: null }, (span) => span.spanContext().traceId);
    });
    expect(collector.trace(traceId)).toMatchObject([{ name: "work", node: "after" }]);
  });

  test("the standard variables configure the sampler", async () => {
    const before = collector.spans.length;
    const seen = await observe({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0",
    });
    expect(seen.traceId).toBeNull();
    expect(collector.spans.length).toBe(before);
  });
});

describe("without a collector", () => {
  test("the caller's trace is still passed on", async () => {
    expect(await observe({}, sampled)).toMatchObject({ outer: sampled, inner: null, traceId });
    expect((await observe({})).outer).toBeNull();
  });

  test("the SDK is not loaded", async () => {
    const module = join(import.meta.dirname, "../../src/telemetry/tracing.ts");
    const source = `import { startTracing } from ${JSON.stringify(module)};
      await startTracing({ attributes: () => ({}) });
      console.log(Object.keys(require.cache).some((path) => path.includes("@opentelemetry/sdk-trace")));
      process.exit(0);`;
    const isLoaded = async (variables: Record<string, string>): Promise<string> => {
      const program = Bun.spawn([process.execPath, "-e", source], { env: variables, stdout: "pipe" });
      return (await program.stdout.text()).trim();
    };
    expect(await isLoaded({})).toBe("false");
    expect(await isLoaded({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })).toBe("true");
  });

  test("a node that keeps traces records so many per second, each with its spans, and passes the others on", async () => {
    const seen = await observe({}, sampled, 3);
    expect(seen.traceId).toBe(traceId);
    expect(seen.recorded.map(({ names }) => names)).toEqual([
      ["query", "failing", "refused", "offloaded", "request", "commit to visible"],
      ["inner", "other"],
      ["inner", "other"],
    ]);
    expect(seen.recorded[0]?.id).toBe(traceId);
    expect(seen.hosted).toEqual([{ id: traceId, names: ["hosted"] }]);
    // It is not recorded, and still belongs to the trace of the caller.
    expect(seen.refused).toBe(sampled);
  });

  test("a dead collector does not prevent the shutdown", async () => {
    const seen = await observe({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" });
    expect(seen.traceId).not.toBeNull();
  });
});

test("a traceparent is parsed strictly and formatted to the same text", () => {
  const parsed = parseTraceparent(sampled);
  expect(parsed && formatTraceparent(parsed)).toBe(sampled);
  for (const bad of [
    "",
    "00-abc",
    sampled.toUpperCase().replace("00-", "zz-"),
    `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
    null,
    undefined,
  ]) {
    expect(parseTraceparent(bad)).toBeUndefined();
  }
});
