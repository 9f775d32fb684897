/** `ostiary nodes`, `ostiary events --applied` and `ostiary traces` against real nodes. */
import { expect, test } from "bun:test";
import { adminKey, converged, eventually, insert, loadPolicy, withCluster } from "../replication/cluster.ts";
import { traced } from "../console/flows/traced.ts";
import { startDevNode } from "./dev-node.ts";
import { workspace } from "./workspace.ts";

const { run, write, path } = workspace();
traced();

test(
  "nodes lists the primary and its edges, and events --applied when each had an event",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edge = await cluster.edge("edge-a", primary);
      await loadPolicy(primary.node);
      await converged(edge.node, primary.node);
      // It is not known when the events in the snapshot became visible.
      await insert(primary.node, "alice");
      await converged(edge.node, primary.node);
      const { offset } = primary.node.health();
      const access = { OSO_URL: edge.url, OSO_AUTH: adminKey };
      await eventually(async () => {
        const { status, output, errors } = await run(["nodes"], "", access);
        expect([status, errors]).toEqual([0, ""]);
        const [headings, first, second] = output.split("\n");
        expect(headings).toMatch(/^NODE +ROLE +STATE +OFFSET +LAG +AGE +BROKERS +VERSION +NODE KEYS +SEEN$/);
        expect(first).toMatch(
          new RegExp(`^primary +primary +PRIMARY +${offset} +0 +0 ms +embedded +\\S+ +[0-9a-f]{8} +\\S+ m?s$`),
        );
        expect(second).toMatch(
          new RegExp(`^edge-a +edge +LIVE +${offset} +0 +\\S+ m?s +127.0.0.1:\\d+ +\\S+ +[0-9a-f]{8} +0 ms$`),
        );
      });
      const applied = await run(["events", "--applied", String(offset)], "", access);
      expect(applied.output).toMatch(
        /^NODE +ROLE +APPLIED +AFTER COMMIT\nprimary +primary +\S+Z +0 ms\nedge-a +edge +\S+Z +\S+ ms\n$/,
      );
      const json = await run(["events", "--applied", String(offset), "--json"], "", access);
      expect(JSON.parse(json.output.split("\n")[1] ?? "")).toMatchObject({ node: "edge-a", has_event: true });
      const later = await run(["events", "--applied", "999"], "", access);
      expect([later.status, later.errors]).toEqual([1, expect.stringContaining("no event has the offset `999` yet")]);
      expect((await run(["events", "--applied", "1", "--follow"], "", access)).status).toBe(2);
      expect((await run(["events", "--applied", "0"], "", access)).status).toBe(2);
    }),
  60_000,
);

test("traces lists the traces of a node, its phases, and the spans of one trace below their parents", async () => {
  write(
    "policy.polar",
    'actor User {}\nresource Repo { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }\n',
  );
  const { access, stop } = await startDevNode([path("policy.polar")]);
  try {
    await run(["authorize", "User:a", "read", "Repo:b"], "", access);
    const { status, output, errors } = await run(["traces", "--route", "/api/authorize"], "", access);
    expect([status, errors]).toEqual([0, ""]);
    expect(output).toMatch(
      /^TIME +DURATION +SPANS +NAME +ID\n\S+Z +\S+ ms +\d+ +POST \/api\/authorize +[0-9a-f]{32}\n/,
    );
    const id = output.split("\n")[1]?.slice(-32) ?? "";
    const trace = await run(["traces", id], "", access);
    expect(trace.output).toMatch(
      /^NODE +START +DURATION +SPAN\n\S+ +\+0 ms +\S+ ms +POST \/api\/authorize\n\S+ +\+\S+ ms +\S+ ms +decode\n/,
    );
    const segments = await run(["traces", "--segments"], "", access);
    expect(segments.output).toMatch(/^SEGMENT +SPANS +P50 +P90 +P99 +MAX\n/);
    expect(segments.output).toMatch(/\nquery +1 /);
    expect((await run(["traces", "x"], "", access)).status).toBe(2);
    const unknown = await run(["traces", "0".repeat(31) + "1"], "", access);
    expect([unknown.status, unknown.errors]).toEqual([1, expect.stringContaining("no node that answers has spans")]);
  } finally {
    await stop();
  }
}, 60_000);
