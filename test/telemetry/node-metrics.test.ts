/** The gauges of a node: read at each scrape, and exposed only if they apply to its role. */
import { expect, test } from "bun:test";
import { exposeNode, type NodeReading } from "../../src/roles/node-metrics.ts";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import type { NodeHealth } from "../../src/replication/node-health.ts";

const health: NodeHealth = {
  ok: true,
  storageOk: true,
  role: "edge",
  state: "LIVE",
  epoch: "0123456789abcdef",
  term: 1,
  offset: 12,
  digest: "0123456789abcdef",
  ageMs: 1500,
  isBrokerConnected: true,
  brokers: [
    { broker: "a:1883", connected: true },
    { broker: "b:8883", connected: false },
  ],
};
const edge: NodeReading = {
  version: "1.2.3",
  health,
  size: {
    closures: { kept: 3, walked: 1, rows: 4711 },
    facts: 12_000,
    files: { database: 8192, wal: 4152 },
  },
};

test("a scrape shows the present values of an edge, and none after it was closed", async () => {
  let reading = edge;
  const hide = exposeNode(() => reading);
  expect(await renderMetrics()).toContain('ostiary_replica_state{state="LIVE"} 1\n');
  reading = { ...edge, health: { ...health, state: "STALE_FEED" } };
  const text = await renderMetrics();
  expect(text).toContain('ostiary_replica_state{state="LIVE"} 0\n');
  expect(text).toContain('ostiary_replica_state{state="STALE_FEED"} 1\n');
  expect(text).toContain("ostiary_applied_offset 12\n");
  expect(text).toContain('ostiary_broker_connected{broker="a:1883"} 1\n');
  expect(text).toContain('ostiary_broker_connected{broker="b:8883"} 0\n');
  expect(text).toContain('ostiary_closures{state="kept"} 3\n');
  expect(text).toContain('ostiary_closures{state="walked"} 1\n');
  expect(text).toContain("ostiary_closure_rows 4711\n");
  expect(text).toContain("ostiary_replica_age_seconds 1.5\n");
  expect(text).toContain("ostiary_stored_facts 12000\n");
  expect(text).toContain("ostiary_migration_pending 0\n");
  expect(text).not.toMatch(/^ostiary_newest_backup_timestamp_seconds /m);
  expect(text).toContain('ostiary_stored_bytes{file="database"} 8192\n');
  expect(text).toContain('ostiary_stored_bytes{file="wal"} 4152\n');
  // An edge has no log of its own and answers from no snapshot.
  expect(text).not.toMatch(/^ostiary_log_offset /m);
  expect(text).not.toMatch(/^oso_fallback_snapshot_age_ms /m);
  hide();
  expect(await renderMetrics()).not.toContain("ostiary_closures{");
});

test("a fallback shows the age of its snapshot", async () => {
  const hide = exposeNode(() => ({ ...edge, health: { ...health, role: "fallback", ageMs: 250 } }));
  expect(await renderMetrics()).toContain("oso_fallback_snapshot_age_ms 250\n");
  hide();
});

test("nodes of hosted environments are beside that of the default one", async () => {
  const read = (facts: number) => (): NodeReading => ({ ...edge, size: { ...edge.size!, facts } });
  const hide = [exposeNode(read(1)), exposeNode(read(2), "shop"), inEnvironment("bank", () => exposeNode(read(3)))];
  const text = await renderMetrics();
  expect(text).toContain("ostiary_stored_facts 1\n");
  expect(text).toContain('ostiary_stored_facts{environment="shop"} 2\n');
  expect(text).toContain('ostiary_stored_facts{environment="bank"} 3\n');
  expect(text).toContain('ostiary_closures{state="kept",environment="bank"} 3\n');
  for (const each of hide) each();
  expect(await renderMetrics()).not.toContain("ostiary_stored_facts{");
});
