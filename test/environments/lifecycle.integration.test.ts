/** Environments on a cluster: keys and audit logs, copies, nodes that were down, and promotions. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { registryEnvironment } from "../../src/environments/registry.ts";
import { recentTraces } from "../../src/telemetry/recent-traces.ts";
import { adminKey, eventually, SystemWithClock, withCluster } from "../replication/cluster.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "./host.ts";

const timeoutMs = 60_000;

test(
  "administrators of the appliance make a key of an environment, which both audit logs have",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary", { "advanced.apiKeysMax": "3" });
      const edge = await cluster.host("edge", "edge", { primary: primary.url });
      const first = await createEnvironment(primary, "shop");
      await fill(primary, first, "ann");
      const made = await ask(edge, adminKey, "POST", "/api/environments/shop/keys");
      expect([made.status, made.json]).toEqual([200, expect.objectContaining({ id: "shop" })]);
      const second = String(made.json.token);
      expect(await mayRead(primary, second, "ann")).toBe(true);
      expect((await ask(primary, second, "POST", "/api/keys", { name: "app", role: "read" })).status).toBe(200);
      expect((await ask(primary, adminKey, "POST", "/api/environments/shop/keys")).status).toBe(400);
      for (const [id, status] of [
        ["test", 409],
        ["none", 404],
        [registryEnvironment, 404],
      ] as const)
        expect([id, (await ask(primary, adminKey, "POST", `/api/environments/${id}/keys`)).status]).toEqual([
          id,
          status,
        ]);
      expect((await ask(primary, second, "POST", "/api/environments/shop/keys")).status).toBe(403);
      await eventually(async () => {
        const { text } = await ask(primary, adminKey, "GET", "/api/audit?action=environment.key&result=ok");
        expect(JSON.parse(text).entries).toMatchObject([
          { target: "shop", actor: { kind: "key", id: "admin" }, details: { key: second.split("_")[2] } },
        ]);
      });
      const { text } = await ask(primary, second, "GET", "/api/audit?action=key.create");
      const own = { target: second.split("_")[2], actor: { kind: "operator", id: null, name: null }, address: null };
      expect(JSON.parse(text).entries).toContainEqual(expect.objectContaining(own));
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/shop")).status).toBe(200);
      expect((await ask(primary, adminKey, "POST", "/api/environments/shop/keys")).status).toBe(404);
      expect(await mayRead(primary, second, "ann")).toBe(401);
    }),
  timeoutMs,
);

test(
  "a node that was down while a deletion became final removes its data, and those of a later environment stay",
  () =>
    withCluster(async (cluster) => {
      const flags = { "advanced.environmentGrace": "1s", "advanced.servingThreadAnswerValuesMax": "4" };
      const primary = await cluster.host("primary", "primary", flags);
      const edgeFlags = { ...flags, primary: primary.url };
      const edge = await cluster.host("edge", "edge", edgeFlags);
      const keys: string[] = [];
      for (const id of ["gone", "again", "left"]) keys.push(await createEnvironment(primary, id));
      for (const key of keys) {
        await fill(primary, key, "ann");
        await eventually(async () => expect(await mayRead(edge, key, "ann")).toBe(true));
      }
      await edge.stop();
      for (const id of ["gone", "again"])
        expect((await ask(primary, adminKey, "DELETE", `/api/environments/${id}`)).status).toBe(200);
      const directories = ({ data }: { readonly data: string }): string[] =>
        readdirSync(join(data, "environments")).filter((name) => name !== registryEnvironment);
      await eventually(() => expect(directories(primary)).toEqual(["left"]));
      expect(directories(edge).toSorted()).toEqual(["again", "gone", "left"]);
      const second = await createEnvironment(primary, "again");
      await fill(primary, second, "bob");
      const restarted = await cluster.host("edge", "edge", edgeFlags);
      await eventually(() => expect(directories(restarted).toSorted()).toEqual(["again", "left"]));
      await eventually(async () => expect(await mayRead(restarted, second, "bob")).toBe(true));
      expect(await mayRead(restarted, second, "ann")).toBe(false);
      expect(await mayRead(restarted, keys[2] ?? "", "ann")).toBe(true);
    }),
  timeoutMs,
);

test(
  "an edge whose clock is ahead keeps the data of a deleted environment until the primary makes the deletion final",
  () =>
    withCluster(async (cluster) => {
      const system = new SystemWithClock();
      system.aheadMs = 365 * 86_400_000;
      const primary = await cluster.host("primary", "primary");
      const edge = await cluster.host("edge", "edge", { primary: primary.url }, system);
      const key = await createEnvironment(primary, "shop");
      await fill(primary, key, "ann");
      await eventually(async () => expect(await mayRead(edge, key, "ann")).toBe(true));
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/shop")).status).toBe(200);
      await eventually(async () => expect(await mayRead(edge, key, "ann")).toBe(401));
      const later = await createEnvironment(primary, "later");
      await fill(primary, later, "ann");
      // From here on it has compared its directories with the list of environments.
      await eventually(async () => expect(await mayRead(edge, later, "ann")).toBe(true));
      expect(existsSync(join(edge.data, "environments", "shop", "created"))).toBe(true);
    }),
  timeoutMs,
);

test(
  "a primary whose data directory is moved makes none for a new environment, which would be in the way",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      await createEnvironment(primary, "shop");
      renameSync(primary.data, `${primary.data}-moved`);
      expect((await ask(primary, adminKey, "POST", "/api/environments", { id: "cart" })).status).toBe(503);
      expect(existsSync(primary.data)).toBe(false);
      renameSync(`${primary.data}-moved`, primary.data);
      await eventually(() => createEnvironment(primary, "cart"));
    }),
  timeoutMs,
);

test(
  "a node that starts lists all environments, or none",
  () =>
    withCluster(async (cluster) => {
      const first = await cluster.host("primary", "primary");
      await createEnvironment(first, "shop");
      await first.stop();
      const primary = await cluster.host("primary", "primary");
      const listed = await eventually(async () => {
        const answer = await ask(primary, adminKey, "GET", "/api/environments");
        expect(answer.status).toBe(200);
        return answer.json.environments;
      });
      expect(listed).toMatchObject([{ id: "test" }, { id: "shop" }]);
    }),
  timeoutMs,
);

test(
  "a copy has policy and facts, a history of its own, and none of the keys",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      const edge = await cluster.host("edge", "edge", { primary: primary.url });
      await fill(primary, adminKey, "ann");
      const bindings = { data_bindings: "facts:\n  has_role(User:_, reader, Repo:_):\n    query: SELECT a, b FROM t" };
      expect((await ask(primary, adminKey, "PUT", "/api/bindings/shop", bindings)).status).toBe(200);
      const key = await createEnvironment(primary, "staging", { copy_of: "test" });
      expect(await mayRead(primary, key, "ann")).toBe(true);
      const { keys } = (await ask(primary, key, "GET", "/api/keys")).json;
      expect(keys).toHaveLength(1);
      const query = { actor_type: "User", actor_id: "eve", action: "read", resource_type: "Repo", resource_id: "main" };
      const asked = [key, "POST", "/api/authorize_query", { query, data_bindings_name: "shop" }] as const;
      for (const node of [primary, edge])
        await eventually(async () => expect((await ask(node, ...asked)).text).toContain("SELECT a, b FROM t"));
      expect((await ask(primary, key, "DELETE", "/api/bindings/shop")).status).toBe(200);
      expect((await ask(primary, adminKey, "GET", "/api/bindings/shop")).status).toBe(200);
      expect((await ask(primary, key, "POST", "/api/batch", [{ inserts: [isReader("bob")] }])).status).toBe(200);
      expect(await mayRead(primary, adminKey, "bob")).toBe(false);
      await eventually(async () => expect(await mayRead(edge, key, "bob")).toBe(true));
      const second = await createEnvironment(primary, "staging-2", { copy_of: "staging" });
      expect(await mayRead(primary, second, "bob")).toBe(true);
      expect((await ask(primary, adminKey, "POST", "/api/environments", { id: "x", copy_of: "none" })).status).toBe(
        404,
      );
    }),
  timeoutMs,
);

test(
  "an edge follows the environments of its configuration, and the default one",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      const [one, two] = [await createEnvironment(primary, "one"), await createEnvironment(primary, "two")];
      for (const key of [one, two]) await fill(primary, key, "ann");
      const edge = await cluster.host("edge", "edge", { primary: primary.url, environments: "one" });
      await eventually(async () => expect(await mayRead(edge, one, "ann")).toBe(true));
      expect(await mayRead(edge, two, "ann")).toBe(401);
    }),
  timeoutMs,
);

/** As if requests of these environments were parts of one trace. Returns its id. */
function addSpans(environments: readonly (string | undefined)[]): string {
  const id = "5".repeat(32);
  recentTraces.configure({ traceBufferTracesMax: 10, traceBufferBytesMax: 10_000 });
  for (const environment of environments) {
    const times = { start_us: 1, duration_us: 1 };
    const [name, parent] = [environment ?? "default", null];
    const span = { id: "6".repeat(16), parent, name, kind: "server", failed: false, attributes: {}, ...times } as const;
    recentTraces.add(environment, id, span);
  }
  return id;
}

test(
  "a promoted node has the primaries of all environments",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      const key = await createEnvironment(primary, "team-a");
      await fill(primary, key, "ann");
      const edge = await cluster.host("edge", "edge", { primary: primary.url });
      await eventually(async () => expect(await mayRead(edge, key, "ann")).toBe(true));
      await primary.stop();
      const promoted = await ask(edge, adminKey, "POST", "/api/promote", { force: true });
      expect([promoted.status, promoted.text]).toEqual([200, expect.any(String)]);
      const written = await ask(edge, key, "POST", "/api/batch", [{ inserts: [isReader("bob")] }]);
      expect([written.status, written.text]).toEqual([200, expect.any(String)]);
      expect(await mayRead(edge, key, "bob")).toBe(true);
      // It works for its own environment, as before: it gives the spans of this one, and of no other.
      const trace = addSpans([undefined, "team-a"]);
      for (const [each, name] of [
        [key, "team-a"],
        [adminKey, "default"],
      ] as const) {
        const { text } = await ask(edge, each, "GET", `/api/traces/${trace}`);
        const { spans } = JSON.parse(text) as { readonly spans: readonly { readonly name: string }[] };
        expect(spans.map((span) => span.name)).toEqual([name]);
      }
      const other = await createEnvironment(edge, "team-b");
      await fill(edge, other, "cid");
      await edge.stop();
      const again = await cluster.host("edge", "edge", { primary: primary.url });
      await eventually(async () => expect(await mayRead(again, other, "cid")).toBe(true));
      for (const each of [key, other])
        await eventually(async () => {
          const { status } = await ask(again, each, "POST", "/api/batch", [{ inserts: [isReader("dan")] }]);
          expect(status).toBe(200);
        });
    }),
  timeoutMs,
);
