import { expect, test } from "bun:test";
import { metrics, observeNode, renderMetrics, type NodeMetrics } from "../../src/telemetry/metrics.ts";

const edge: NodeMetrics = {
  role: "edge",
  version: "1.2.3",
  logOffset: undefined,
  appliedOffset: 12,
  foreignHistory: false,
  feedState: "LIVE",
  brokers: [
    { broker: "a:1883", connected: true },
    { broker: "b:8883", connected: false },
  ],
  brokerClients: undefined,
  snapshotAgeMs: 250,
  storageOk: true,
  replicaAgeMs: 1500,
  closures: { kept: 3, walked: 1, rows: 4711 },
  facts: 12_000,
  files: { database: 8192, wal: 4152 },
};

test("what was recorded is rendered for Prometheus", async () => {
  // Labels of its own: other tests of the same run record as well.
  const denied = async () =>
    Number(/ostiary_decisions_total\{result="deny"\} (\d+)/.exec(await renderMetrics())?.[1] ?? 0);
  const before = await denied();
  const labels = { method: "POST", route: "/api/rendered", status: 200 };
  for (const seconds of [0.00004, 0.0007, 0.001, 30]) metrics.httpDuration.observe(labels, seconds);
  metrics.fallbackHttpRequests.observe({ path: "/api/rendered", status_code: 200 }, 3);
  metrics.decisions.inc({ result: "deny" }, 2);
  expect(await denied()).toBe(before + 2);
  const text = await renderMetrics();
  expect(text).toContain("# TYPE ostiary_http_request_duration_seconds histogram\n");
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="0.00005",method="POST",route="/api/rendered",status="200"} 1\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="0.0005",method="POST",route="/api/rendered",status="200"} 1\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="0.001",method="POST",route="/api/rendered",status="200"} 3\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="20",method="POST",route="/api/rendered",status="200"} 3\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="+Inf",method="POST",route="/api/rendered",status="200"} 4\n',
  );
  const both = '{method="POST",route="/api/rendered",status="200"}';
  expect(text).toContain(`ostiary_http_request_duration_seconds_sum${both} 30.00174\n`);
  expect(text).toContain(`ostiary_http_request_duration_seconds_count${both} 4\n`);
  expect(text).toContain('oso_fallback_http_requests_bucket{le="5",path="/api/rendered",status_code="200"} 1\n');
  expect(text).toMatch(/process_resident_memory_bytes \d+/);
});

test("a node is asked at each scrape, tells only what applies to it, and not after it is gone", async () => {
  let state: NodeMetrics["feedState"] = "LIVE";
  const forget = observeNode(() => ({ ...edge, feedState: state }));
  expect(await renderMetrics()).toContain('ostiary_feed_state{state="LIVE"} 1\n');
  state = "STALE_FEED";
  const text = await renderMetrics();
  expect(text).toContain('ostiary_feed_state{state="LIVE"} 0\n');
  expect(text).toContain('ostiary_feed_state{state="STALE_FEED"} 1\n');
  expect(text).toContain("ostiary_applied_offset 12\n");
  expect(text).toContain('ostiary_broker_connected{broker="a:1883"} 1\n');
  expect(text).toContain('ostiary_broker_connected{broker="b:8883"} 0\n');
  expect(text).toContain("oso_fallback_snapshot_age_ms 250\n");
  expect(text).toContain('ostiary_closures{state="kept"} 3\n');
  expect(text).toContain('ostiary_closures{state="walked"} 1\n');
  expect(text).toContain("ostiary_closure_rows 4711\n");
  expect(text).toContain("ostiary_replica_age_seconds 1.5\n");
  expect(text).toContain("ostiary_stored_facts 12000\n");
  expect(text).toContain('ostiary_stored_bytes{file="database"} 8192\n');
  expect(text).toContain('ostiary_stored_bytes{file="wal"} 4152\n');
  expect(text).not.toMatch(/^ostiary_log_offset /m);
  forget();
  expect(await renderMetrics()).not.toContain("ostiary_closures{");
});
