/** The metrics that `/metrics` exposes: in the format of Prometheus, documented, and with correct numbers. */
import { describe, expect, test } from "bun:test";
import { request } from "node:http";
import { describeMetrics } from "../../src/telemetry/metrics.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { factTables } from "../../src/store/facts/fact-tables.ts";
import { must } from "../../src/util/assert.ts";
import { admin } from "../http/api.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  post,
  reader,
  untraced,
  withCluster,
} from "../replication/cluster.ts";
import { type Family, parsePrometheus } from "./prometheus-text.ts";

async function scrape(url: string): Promise<Family[]> {
  const response = await fetch(`${url}/metrics`, { headers: admin });
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return parsePrometheus(await response.text());
}

/** Of the default environment: other tests leave series of hosted ones. */
function valueOf(
  families: readonly Family[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const samples = families.find((family) => family.name === name)?.samples ?? [];
  const isMeant = (given: ReadonlyMap<string, string>): boolean =>
    !given.has("environment") && Object.entries(labels).every(([label, value]) => given.get(label) === value);
  return samples.find((sample) => isMeant(sample.labels))?.value;
}

describe("over HTTP", () => {
  test("a primary and an edge expose valid metrics with the declared labels, and the size of their data", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const edge = await cluster.edge("edge-1", primary);
      const users = Array.from({ length: 50 }, (_, index) => `user-${index}`);
      await insert(primary.node, ...users);
      await primary.node.writes.batch([{ deletes: [reader("user-7")] }], untraced);
      await converged(edge.node, primary.node);
      const question = {
        actor_type: "User",
        actor_id: "user-1",
        action: "read",
        resource_type: "Repo",
        resource_id: 'a\\b"c\nd',
      };
      expect((await post(primary.url, "/api/authorize", question, adminKey)).status).toBe(200);

      // Series of the default environment have no label `environment`, and other tests leave some of hosted ones.
      const ownLabels = (names: Iterable<string>) =>
        [...names].filter((label) => label !== "le" && label !== "environment").toSorted();
      const declared = new Map(describeMetrics().map(({ name, labelNames }) => [name, ownLabels(labelNames)]));
      for (const { url } of [primary, edge]) {
        const families = await scrape(url);
        expect(families.map(({ name }) => name)).toEqual([...declared.keys()]);
        for (const { name, samples } of families)
          for (const { labels } of samples) expect(ownLabels(labels.keys())).toEqual(declared.get(name) ?? []);
        expect(valueOf(families, "ostiary_stored_facts")).toBe(49);
        expect(valueOf(families, "ostiary_stored_bytes", { file: "database" })).toBeGreaterThan(4096);
        expect(valueOf(families, "ostiary_stored_bytes", { file: "wal" })).toBeGreaterThanOrEqual(0);
      }
      // Both nodes are in this process. Only the edge has a replica age.
      await eventually(async () =>
        expect(valueOf(await scrape(edge.url), "ostiary_replica_age_seconds")).toBeGreaterThanOrEqual(0),
      );
      await edge.stop();
      expect(valueOf(await scrape(primary.url), "ostiary_replica_age_seconds")).toBeUndefined();
    }));

  test("the number of facts is correct after every kind of change", () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary();
      const facts = async (url: string) => valueOf(await scrape(url), "ostiary_stored_facts");
      expect(await facts(first.url)).toBe(0);
      await loadPolicy(first.node);
      await insert(first.node, "ann", "bob", "cid");
      await insert(first.node, "ann");
      expect(await facts(first.url)).toBe(3);
      const path = first.node.engine().path;
      const counted = (): number => {
        const store = openStore(path, { readonly: true });
        try {
          const count = (table: string) => Number(store.prepare(`SELECT count(*) FROM ${table}`).values()[0]?.[0]);
          return factTables(store).reduce((sum, { table }) => sum + count(table), 0);
        } finally {
          store.close();
        }
      };
      // Another policy has other tables. The facts stay.
      const other = `actor User {} resource Team { relations = { member: User }; }`;
      await first.node.writes.policy({ source: other, filename: null, force: true }, untraced);
      expect([await facts(first.url), counted()]).toEqual([3, 3]);
      await first.stop();
      const second = await cluster.primary();
      expect([await facts(second.url), counted()]).toEqual([3, 3]);
      await second.node.writes.clear(untraced);
      expect([await facts(second.url), counted()]).toEqual([0, 0]);
    }));

  test("writes are counted by kind and result", () =>
    withCluster(async (cluster) => {
      const { node, url } = await cluster.primary();
      const counts = async () => {
        const families = await scrape(url);
        const of = (kind: string, result: string) => valueOf(families, "ostiary_writes_total", { kind, result }) ?? 0;
        return {
          policy: of("policy", "done"),
          done: of("batch", "done"),
          unchanged: of("batch", "unchanged"),
          repeated: of("batch", "repeated"),
          refused: of("batch", "refused"),
          cleared: of("clear", "done"),
          unacknowledged: of("batch", "unacknowledged"),
        };
      };
      const before = await counts();
      await loadPolicy(node);
      await node.writes.batch([{ inserts: [reader("ann")] }], { ...untraced, idempotencyKey: "r1" });
      await node.writes.batch([{ inserts: [reader("ann")] }], { ...untraced, idempotencyKey: "r1" });
      await insert(node, "ann");
      const unknown = { predicate: "unknown", args: [] };
      await node.writes.batch([{ inserts: [unknown] }], untraced).catch(() => undefined);
      await node.writes.clear(untraced);
      const after = await counts();
      const more = Object.entries(after).map(([name, count]) => [name, count - before[name as keyof typeof before]]);
      expect(Object.fromEntries(more)).toEqual({
        policy: 1,
        done: 1,
        unchanged: 1,
        repeated: 1,
        refused: 1,
        cleared: 1,
        unacknowledged: 0,
      });
    }));

  test("a write without acknowledgement is counted as unacknowledged", () =>
    withCluster(async (cluster) => {
      const { node, url } = await cluster.primary({ ack: "edges:1", "advanced.ackTimeoutMs": "100ms" });
      const lacking = async () =>
        valueOf(await scrape(url), "ostiary_writes_total", { kind: "policy", result: "unacknowledged" }) ?? 0;
      const before = await lacking();
      await loadPolicy(node).catch(() => undefined);
      expect(await lacking()).toBe(before + 1);
    }));

  test("clients cannot make time series of their own: methods and routes are known, and so are outcomes", () =>
    withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      const { hostname, port } = new URL(url);
      const statusOf = (method: string, path: string) =>
        new Promise<number | undefined>((resolve, reject) => {
          const sent = request({ hostname, port, method, path, headers: admin }, (response) => {
            response.resume().on("end", () => resolve(response.statusCode));
          });
          sent.on("error", reject).end();
        });
      // Deno takes every method, and Bun those that it knows.
      for (const method of ["PROPFIND", "M-SEARCH", "LOCK"])
        expect(await statusOf(method, `/no-such-path/${method}`)).toBe(404);
      for (const path of ["/no-such", "/api/no-such?no-such"]) expect(await statusOf("GET", path)).toBe(404);
      const durations = (await scrape(url)).find(({ name }) => name === "ostiary_http_request_duration_seconds");
      const values = (label: string) =>
        new Set(must(durations).samples.flatMap(({ labels }) => labels.get(label) ?? []));
      expect(
        [...values("method")].filter((method) => !/^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|_OTHER)$/.test(method)),
      ).toEqual([]);
      expect([...values("method")]).toContain("_OTHER");
      expect([...values("route")].filter((route) => route.includes("no-such"))).toEqual([]);
      const outcomes = ["allow", "deny", "ok", "refused", "failed"];
      expect([...values("outcome")].filter((outcome) => !outcomes.includes(outcome))).toEqual([]);
    }));

  test("requests are counted by route and outcome", () =>
    withCluster(async (cluster) => {
      const { node, url } = await cluster.primary();
      await loadPolicy(node);
      await insert(node, "ann");
      const name = "ostiary_http_request_duration_seconds";
      const [authorize, evaluation] = ["/api/authorize", "/access/v1/evaluation"];
      const count = async (route: string, outcome: string, status: string) => {
        const { samples } = must((await scrape(url)).find((family) => family.name === name));
        const isMeant = (labels: ReadonlyMap<string, string>): boolean =>
          labels.get("route") === route && labels.get("outcome") === outcome && labels.get("status") === status;
        // Other tests of the process may have series with further labels.
        const meant = samples.filter((sample) => sample.name === `${name}_count` && isMeant(sample.labels));
        return meant.reduce((sum, { value }) => sum + value, 0);
      };
      const question = (user: string) => ({
        ...{ actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" },
      });
      const asked = (user: string) => ({
        ...{ subject: { type: "User", id: user }, action: { name: "read" }, resource: { type: "Repo", id: "main" } },
      });
      const cases = [
        { route: authorize, body: question("ann"), outcome: "allow", status: "200" },
        { route: authorize, body: question("bob"), outcome: "deny", status: "200" },
        { route: authorize, body: {}, outcome: "refused", status: "400" },
        { route: authorize, body: question("ann"), key: "e_test_wrong", outcome: "refused", status: "401" },
        { route: evaluation, body: asked("ann"), outcome: "allow", status: "200" },
        { route: evaluation, body: asked("bob"), outcome: "deny", status: "200" },
        { route: "/api/actions", body: question("ann"), outcome: "ok", status: "200" },
      ];
      for (const { route, body, key, outcome, status } of cases) {
        const before = await count(route, outcome, status);
        expect((await post(url, route, body, key)).status).toBe(Number(status));
        expect({ route, outcome, more: (await count(route, outcome, status)) - before }).toEqual({
          route,
          outcome,
          more: 1,
        });
      }
      const { engine } = node;
      Object.assign(node, {
        engine(): never {
          throw new TypeError("a defect");
        },
      });
      expect((await post(url, authorize, question("ann"))).status).toBe(500);
      Object.assign(node, { engine });
      expect(await count(authorize, "failed", "500")).toBe(1);
    }));
});
