/** The environment of the lines of a node's log: whatever starts its work, the line names the node's environment. */
import { expect, test } from "bun:test";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { startLogging } from "../../src/telemetry/logger.ts";
import { converged, insert, loadPolicy, withCluster } from "../replication/cluster.ts";

test("each line of a primary and an edge in a hosted environment names it", async () => {
  const lines: Record<string, unknown>[] = [];
  startLogging({ level: "debug", format: "json" }, (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
  try {
    await inEnvironment("shop", () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge-1", primary);
        await insert(primary.node, "ann", "bob");
        await converged(edge.node, primary.node);
      }),
    );
  } finally {
    startLogging({ level: "error", format: "text" }, () => {});
  }
  // What answers requests has the environment of the request, which no host gives it here.
  for (const part of ["writer", "publish", "replica"]) {
    const own = lines.filter((line) => line["part"] === part);
    expect([part, new Set(own.map(({ environment }) => environment))]).toEqual([part, new Set(["shop"])]);
  }
  const connected = lines.find(({ message }) => String(message).startsWith("connected to the broker"));
  expect(connected).toMatchObject({ environment: "shop" });
});
