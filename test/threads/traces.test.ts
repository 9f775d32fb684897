import { expect, test } from "bun:test";
import { randomHex } from "../../scripts/node-process.ts";
import { startCollector } from "../../scripts/otlp-collector.ts";
import { spreadsConnections } from "../../src/runtime/listener-threads.ts";
import { apiOf } from "../http/api.ts";
import { withCluster } from "../replication/cluster.ts";
import { whileTracing } from "../telemetry/traced-work.ts";

const question = { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", resource_id: "acme" };
const count = 200;
/** So many of `count` fair coins show neither side in less than one of 10^9 runs. */
const half = { min: 55, max: 145 };

test.skipIf(!spreadsConnections)("a share of the requests is traced, and each one whose caller says so", async () => {
  const collector = startCollector();
  try {
    await whileTracing(
      { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url },
      { sampleRatio: 0.5, attributes: () => ({}) },
      () =>
        withCluster(
          async (cluster) => {
            const api = apiOf(await cluster.primary());
            const tracesOf = async (flags: "00" | "01" | undefined): Promise<(string | null)[]> => {
              const ids: (string | null)[] = [];
              for (let index = 0; index < count; index++) {
                const traceId = randomHex(16);
                const headers = flags && { traceparent: `00-${traceId}-${randomHex(8)}-${flags}` };
                const response = await api.call("POST", "/api/authorize", { body: question, headers: { ...headers } });
                const id = response.headers.get("x-trace-id");
                if (flags === "01") expect(id).toBe(traceId);
                ids.push(id);
              }
              return ids.filter((id) => id !== null);
            };
            expect(await tracesOf("01")).toHaveLength(count);
            expect(await tracesOf("00")).toEqual([]);
            const chosen = (await tracesOf(undefined)).length;
            expect(chosen).toBeGreaterThan(half.min);
            expect(chosen).toBeLessThan(half.max);
          },
          { threads: "2" },
        ),
    );
    const requests = collector.spans.filter(({ name }) => name === "POST /api/authorize");
    expect(requests.length).toBeGreaterThan(count + half.min);
  } finally {
    await collector.stop();
  }
});
