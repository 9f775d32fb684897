/** The audit log over HTTP: what is recorded, with which result, and who may read it. */
import { describe, expect, test } from "bun:test";
import { createApp } from "../../src/features/app.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { must } from "../../src/util/assert.ts";
import { adminKey, converged, eventually, nodeKey, withCluster } from "../replication/cluster.ts";
import { admin, apiOf, wildcardPolicy, withPrimary, type Api } from "./api.ts";

interface Entry {
  readonly id: string;
  readonly action: string;
  readonly result: string;
  readonly target: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  readonly actor: { readonly kind: string; readonly id: string | null };
  readonly [name: string]: unknown;
}

const auditOf = async (api: Api, query = ""): Promise<Entry[]> =>
  ((await api.call("GET", `/api/audit${query}`)).json as { entries: Entry[] }).entries;
const short = ({ action, result, target, code }: Entry): unknown[] => [action, result, target, code];

async function createKey(api: Api, name: string, role: string): Promise<{ id: string; token: string }> {
  return (await api.call("POST", "/api/keys", { body: { name, role } })).json as { id: string; token: string };
}

test("each action of an administrator has an entry with its result, and no secret", () =>
  withPrimary(async (api) => {
    const { id, token } = await createKey(api, "ci", "write");
    const ci = { authorization: `Bearer ${token}`, "X-Request-ID": "request-1" };
    const src = `${wildcardPolicy} # secret-word`;
    await api.call("POST", "/api/policy", { body: { src, filename: "a.polar" }, headers: ci });
    await api.call("POST", "/api/policy", { body: { src, filename: "a.polar" } });
    await api.call("POST", "/api/policy?force=true", { body: { src: "actor User {} test 'x' { assert 1; }" } });
    await api.call("POST", "/api/policy", { body: { src: "actor User {}" } });
    await api.call("POST", "/api/policy_rollback", { body: { id: 1 } });
    await api.call("POST", "/api/policy_rollback", { body: { id: 99 } });
    await api.call("POST", "/api/clear_data", { headers: { authorization: ci.authorization } });
    await api.call("DELETE", `/api/keys/${id}`, { headers: { authorization: ci.authorization } });
    await api.call("POST", `/api/keys/${id}/rotate`, { body: {} });
    await api.call("POST", "/api/keys/nobody/rotate", { body: {} });
    await api.call("DELETE", `/api/keys/${id}`);
    await api.call("DELETE", `/api/keys/${id}`);
    await api.call("DELETE", "/api/keys/admin");
    await api.call("POST", "/api/keys", { body: { name: "x", role: "root" } });
    await api.call("POST", "/api/keys", { body: { name: "x", role: "read" }, headers: { authorization: "Bearer x" } });
    await api.call("POST", "/api/promote", { body: {} });
    await api.call("GET", "/api/backup");
    const others = { authorization: `Bearer ${nodeKey}`, "Ostiary-Node": "edge-7" };
    await fetch(`${api.url}/replication/v1/snapshot`, { headers: others }).then((response) => response.bytes());
    await fetch(`${api.url}/replication/v1/snapshot`, { headers: admin }).then((response) => response.text());
    // Reads and changes of facts are no actions of administrators.
    await api.call("GET", "/api/policy");
    await api.call("POST", "/api/batch", { body: [] });

    await eventually(async () => expect(await auditOf(api)).toHaveLength(21));
    const entries = (await auditOf(api)).toReversed();
    expect(entries.map(short)).toEqual([
      ["key.create", "ok", "admin", null],
      ["key.create", "ok", id, null],
      ["policy.upload", "ok", "1", null],
      ["policy.upload", "unchanged", null, null],
      ["policy.upload", "refused", null, "invalid_policy"],
      ["policy.upload", "ok", "2", null],
      ["policy.rollback", "ok", "3", null],
      ["policy.rollback", "refused", null, "not_found"],
      ["facts.clear", "ok", null, null],
      ["key.delete", "refused", null, "forbidden"],
      ["key.rotate", "ok", id, null],
      ["key.rotate", "refused", "nobody", "not_found"],
      ["key.delete", "ok", id, null],
      ["key.delete", "refused", id, "not_found"],
      ["key.delete", "refused", "admin", "conflict"],
      ["key.create", "refused", null, "invalid_request"],
      ["key.create", "refused", null, "unauthorized"],
      ["node.promote", "refused", "primary", "conflict"],
      ["backup.download", "ok", null, null],
      ["snapshot.download", "ok", null, null],
      ["snapshot.download", "refused", null, "unauthorized"],
    ]);
    const at = (index: number): unknown => entries[index];
    expect(at(0)).toMatchObject({ actor: { kind: "operator", id: null, name: null }, address: null, node: "primary" });
    const key = { kind: "key", id, name: "ci" };
    const [epoch, offset] = [api.node.state()?.epoch, 3];
    expect(at(2)).toEqual({
      ...{ id: expect.stringMatching(/^[0-9a-f-]{36}$/), time: expect.any(String), node: "primary", actor: key },
      ...{ address: "127.0.0.1", proxy: null, via: null, action: "policy.upload", target: "1" },
      ...{ details: { filename: "a.polar", force: false }, result: "ok", code: null },
      ...{ request_id: "request-1", trace_id: null, position: `${epoch}:${offset}` },
    });
    expect(at(4)).toMatchObject({ details: { force: true }, position: null });
    expect(at(6)).toMatchObject({ details: { version: 1, force: false } });
    expect(at(9)).toMatchObject({ actor: key });
    expect(at(16)).toMatchObject({ actor: { kind: "unknown", id: null, name: null } });
    expect(at(19)).toMatchObject({ actor: { kind: "node", id: "edge-7", name: null } });
    const text = JSON.stringify(entries);
    for (const secret of [token, adminKey, nodeKey, "secret-word"]) expect(text).not.toContain(secret);
  }));

test("a repeated request has one entry", () =>
  withPrimary(async (api) => {
    const headers = { "X-Request-ID": "again" };
    for (let times = 0; times < 3; times++)
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy }, headers });
    await api.call("GET", "/api/backup");
    await eventually(async () => expect((await auditOf(api))[0]?.action).toBe("backup.download"));
    expect(await auditOf(api, "?action=policy.upload")).toHaveLength(1);
  }));

test("an action that fails has an entry: whether it was not done, or may have been", () =>
  withCluster(
    async (cluster) => {
      const running = await cluster.primary();
      const [primary, edge] = [apiOf(running), apiOf(await cluster.edge("edge-1", running))];
      await eventually(() => converged(edge.node, primary.node));
      const failed = async (api: Api) => (await auditOf(api)).filter(({ code }) => code === "not_ready");
      // No edge has the write in time, but it is committed.
      const headers = { "X-Request-ID": "unacknowledged" };
      const unacknowledged = await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy }, headers });
      expect(unacknowledged.status).toBe(503);
      await eventually(async () =>
        expect(await failed(primary)).toMatchObject([
          { action: "policy.upload", result: "uncertain", request_id: "unacknowledged", position: null },
        ]),
      );
      expect((await auditOf(primary, "?action=policy.upload&result=ok"))[0]).toMatchObject({ target: "1" });
      await running.stop();
      const key = { name: "ci", role: "read" };
      expect((await edge.call("POST", "/api/keys", { body: key })).status).toBe(503);
      await eventually(async () =>
        expect((await auditOf(edge, "?result=failed")).map(short)).toEqual([
          ["key.create", "failed", null, "not_ready"],
        ]),
      );
    },
    { ack: "edges:2", "advanced.ackTimeoutMs": "100ms", "advanced.auditExchangeIntervalMs": "1h" },
  ));

test("only an admin key may read it; pages and filters", () =>
  withPrimary(async (api) => {
    for (const role of ["read", "write"]) {
      const { token } = await createKey(api, role, role);
      const headers = { authorization: `Bearer ${token}` };
      expect((await api.call("GET", "/api/audit", { headers })).status).toBe(403);
    }
    const all = await auditOf(api);
    expect(all).toHaveLength(3);
    const first = (await api.call("GET", "/api/audit?page_size=2")).json as { next_page_token: string };
    expect(await auditOf(api, `?page_size=2&page_token=${first.next_page_token}`)).toEqual(all.slice(2));
    expect(await auditOf(api, "?who=admin&result=ok")).toHaveLength(2);
    expect(await auditOf(api, "?action=key.delete")).toEqual([]);
    expect(await auditOf(api, "?since=2026-01-01T00:00:00%2B01:00&until=2999-01-01T00:00:00Z")).toEqual(all);
    expect(await auditOf(api, "?until=2020-01-01T00:00:00Z")).toEqual([]);
    for (const query of ["result=bad", "since=yesterday", "page_size=0", "page_token=x", "who="])
      expect([query, (await api.call("GET", `/api/audit?${query}`)).status]).toEqual([query, 400]);
  }));

test("a hostile client cannot fill it, and its refusals are counted", () =>
  withPrimary(async (api) => {
    const headers = { authorization: "Bearer e_test_nobody_0123456789abcdef" };
    for (let times = 0; times < 100; times++)
      expect((await api.call("POST", "/api/keys", { body: {}, headers })).status).toBe(401);
    // Another sender is not affected.
    await api.call("DELETE", "/api/keys/nobody");
    await eventually(async () => expect((await auditOf(api))[0]?.code).toBe("not_found"));
    const refused = await auditOf(api, "?result=refused");
    expect(refused.length).toBeGreaterThanOrEqual(21);
    expect(refused.length).toBeLessThan(60);
    const counted = refused.map(({ details }) => Number(details["suppressed"] ?? 0));
    expect(refused.length + counted.reduce((sum, count) => sum + count, 0)).toBe(101);
  }));

describe("the address of a client", () => {
  const call = async (api: Api, peer: string, trustedProxies: string[], headers: Record<string, string>) => {
    const app = createApp(api.node, defaultLimits, { trustedProxies });
    const connections = { close() {}, addressOf: () => peer };
    const init = { method: "DELETE", headers: { ...admin, "X-Request-ID": "seen", ...headers } };
    await app.fetch(new Request("http://localhost/api/keys/nobody", init), connections);
    app.close();
    const found = async () => (await auditOf(api))[0];
    await eventually(async () => expect(await found()).toMatchObject({ action: "key.delete" }));
    const { address, proxy, via } = must(await found());
    return { address, proxy, via };
  };

  test("is that of the socket, or the last one that a trusted proxy has not", () =>
    withPrimary(async (api) => {
      const from = (list: string) => ({ "X-Forwarded-For": list });
      expect(await call(api, "192.0.2.1", [], from("198.51.100.9"))).toMatchObject({
        address: "192.0.2.1",
        proxy: null,
      });
    }));

  test("behind trusted proxies is the first address that none of them has", () =>
    withPrimary(async (api) => {
      const list = "198.51.100.9, 203.0.113.5, 10.1.1.1";
      const seen = await call(api, "10.0.0.1", ["10.0.0.0/8"], { "X-Forwarded-For": list });
      expect(seen).toEqual({ address: "203.0.113.5", proxy: "10.0.0.1", via: null });
    }));

  test("a proxy that names none is the peer; a forged header of a node is ignored", () =>
    withPrimary(async (api) => {
      const forged = { "X-Forwarded-For": "<script>", "Ostiary-Client": `edge 1.2.3.4 ${"0".repeat(32)}` };
      expect(await call(api, "10.0.0.1", ["10.0.0.1"], forged)).toEqual({
        address: "10.0.0.1",
        proxy: null,
        via: null,
      });
    }));
});

test("an edge names the client of a write that it forwards, and records what it refuses itself", () =>
  withCluster(
    async (cluster) => {
      const running = await cluster.primary();
      const [primary, edge] = [apiOf(running), apiOf(await cluster.edge("edge-1", running))];
      await eventually(() => converged(edge.node, primary.node));
      expect((await edge.call("POST", "/api/policy", { body: { src: wildcardPolicy } })).status).toBe(200);
      await edge.call("POST", "/api/keys", { body: {}, headers: { authorization: "Bearer x" } });
      await edge.call("GET", "/api/backup");
      const upload = must((await auditOf(primary, "?action=policy.upload"))[0]);
      expect(upload).toMatchObject({ address: "127.0.0.1", via: "edge-1", node: "primary", result: "ok" });
      // The edge has the entry of the change with the change.
      expect(await auditOf(edge, "?action=policy.upload")).toEqual([upload]);
      // And the primary gets those of the edge.
      await eventually(async () => {
        const seen = (await auditOf(primary)).filter(({ node }) => node === "edge-1").map(short);
        expect(seen).toContainEqual(["key.create", "refused", null, "unauthorized"]);
        expect(seen).toContainEqual(["backup.download", "ok", null, null]);
      });
      await eventually(async () => expect(await auditOf(edge)).toEqual(await auditOf(primary)));
    },
    { "advanced.auditExchangeIntervalMs": "100ms" },
  ));
