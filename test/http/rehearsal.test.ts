/** What a node does before its first question: it answers some itself, and nobody sees anything of them. */
import { expect, test } from "bun:test";
import { createApp } from "../../src/features/app.ts";
import { DecisionLog } from "../../src/decisions/decision-log.ts";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import { adminKey, eventually, loadPolicy, post, withCluster } from "../replication/cluster.ts";

const timeoutMs = 60_000;

/** The lines of `/metrics` about decisions and requests. */
async function counts(): Promise<readonly string[]> {
  const lines = (await renderMetrics()).split("\n");
  const counted = ["ostiary_decisions_total", "ostiary_http_request_duration_seconds"];
  return counted.flatMap((name) => {
    const own = lines.filter((line) => line.includes(name));
    expect(own).not.toEqual([]);
    return own;
  });
}

test(
  "a rehearsal answers questions that nobody counts, logs or finds",
  () =>
    withCluster(async (cluster) => {
      const { node, data } = await cluster.primary();
      await loadPolicy(node);
      const config = cluster.config("primary", "primary", { adminKey, data, "decisions.log": "all" });
      const decisions = new DecisionLog(config);
      const app = createApp(node, config.limits, { decisions });
      try {
        const before = await counts();
        const isPlanned = () => node.engine().expectedQuestions.length > 0;
        expect(isPlanned()).toBe(false);
        await app.rehearse();
        expect(isPlanned()).toBe(true);
        expect(await counts()).toEqual(before);
        const headers = { Authorization: `Bearer ${adminKey}` };
        const logged = await app.fetch(new Request("http://localhost/api/decisions", { headers }));
        expect([logged.status, ((await logged.json()) as { readonly decisions: unknown }).decisions]).toEqual([
          200,
          [],
        ]);
      } finally {
        app.close();
        await decisions.close();
      }
    }),
  timeoutMs,
);

test(
  "a node rehearses when it starts with a policy, before it is ready",
  () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary();
      await loadPolicy(first.node);
      await first.stop();
      const second = await cluster.primary();
      await eventually(async () => expect((await fetch(`${second.url}/readyz`)).status).toBe(200));
      expect(second.node.engine().expectedQuestions.length).toBeGreaterThan(0);
    }),
  timeoutMs,
);

test(
  "without a policy there is nothing to rehearse, and the node is ready",
  () =>
    withCluster(async (cluster) => {
      const { url, node } = await cluster.primary();
      await createApp(node, cluster.config("primary", "primary", { adminKey }).limits).rehearse();
      await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200));
      expect((await post(url, "/api/authorize", {})).status).toBe(400);
    }),
  timeoutMs,
);
