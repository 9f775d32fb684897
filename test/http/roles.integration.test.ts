/**
 * The API on the other roles: an edge forwards writes and reads them immediately, a fallback answers queries only, with
 * the age of its data.
 */
import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { Oso } from "oso-cloud";
import { adminKey, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, clientOf, fact, Org, role, User, value, wildcardPolicy, type Api } from "./api.ts";

const question = { actor_type: "User", actor_id: "bob", action: "delete", resource_type: "Org", resource_id: "acme" };
const admission = { body: [{ inserts: [role("bob", "admin", Org("acme"))] }] };

describe("an edge", () => {
  let primary: Api;
  let edge: Api;
  const ended = Promise.withResolvers<void>();
  let stopped: Promise<void> | undefined;

  beforeAll(async () => {
    const started = Promise.withResolvers<void>();
    stopped = withCluster(
      async (cluster) => {
        const running = await cluster.primary();
        primary = apiOf(running);
        await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        edge = apiOf(await cluster.edge("edge", running));
        await eventually(() =>
          expect(edge.node.health()).toMatchObject({ ok: true, offset: primary.node.health().offset }),
        );
        started.resolve();
        await ended.promise;
      },
      { "advanced.consistencyWait": "5s" },
    );
    await Promise.race([started.promise, stopped]);
  });
  afterAll(async () => {
    ended.resolve();
    await stopped;
  });

  test("forwards writes, returns the primary's response, and has applied the write by then", async () => {
    const written = await edge.call("POST", "/api/batch?", {
      ...admission,
      headers: { "X-Request-ID": "over-the-edge" },
    });
    expect([written.status, written.json]).toEqual([200, { message: "1 fact inserted, 0 facts deleted" }]);
    expect(written.headers.get("osooffset")).toBe(`${primary.node.health().epoch}:${primary.node.health().offset}`);
    expect(written.headers.get("x-request-id")).toBe("over-the-edge");
    expect(written.headers.get("server-timing")).toMatch(/^oso;dur=[\d.]+$/);
    expect((await edge.call("POST", "/api/authorize", { body: question })).json).toEqual({ allowed: true });

    const refused = await edge.call("POST", "/api/policy", { body: { src: "nonsense" } });
    expect([refused.status, refused.json]).toMatchObject([400, { error_type: "Validation" }]);
    const unchanged = await edge.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
    expect(unchanged.status).toBe(202);
    expect((await edge.call("POST", "/api/batch", { body: "x".repeat(960 * 1024 + 1) })).status).toBe(413);
    expect((await edge.call("POST", "/api/batch", { body: [], headers: { authorization: "" } })).status).toBe(401);
    expect((await edge.call("POST", "/api/batch", { body: [], headers: { authorization: "Bearer x" } })).status).toBe(
      401,
    );
  });

  test("creates and removes keys like the primary, and checks keys itself", async () => {
    const made = await edge.call("POST", "/api/keys", { body: { name: "ci", role: "read" } });
    const { id, token } = made.json as { id: string; token: string };
    const headers = { authorization: `Bearer ${token}` };
    for (const api of [edge, primary]) expect((await api.call("GET", "/api/policy", { headers })).status).toBe(200);
    expect((await edge.call("POST", "/api/batch", { headers, body: [] })).status).toBe(403);
    expect((await edge.call("DELETE", `/api/keys/${id}`)).status).toBe(200);
    for (const api of [edge, primary]) expect((await api.call("GET", "/api/policy", { headers })).status).toBe(401);
  });

  test("waits for the position of a consistency token, and reads the write", async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = `org-${round}`;
      const written = await primary.call("POST", "/api/batch", {
        body: [{ inserts: [role("bob", "admin", Org(id))] }],
      });
      const headers = { OsoOffset: written.headers.get("osooffset") ?? "" };
      const read = await edge.call("POST", "/api/authorize", { body: { ...question, resource_id: id }, headers });
      expect(read.json).toEqual({ allowed: true });
      const facts = await edge.call("GET", `/api/facts?predicate=has_role&args.2.type=Org&args.2.id=${id}`, {
        headers,
      });
      expect(facts.json).toHaveLength(1);
    }
  });

  test("refuses a key that was removed while the request waited for a token", async () => {
    const made = await edge.call("POST", "/api/keys", { body: { name: "ci", role: "read" } });
    const { id, token } = made.json as { id: string; token: string };
    const { epoch, offset } = edge.node.health();
    const headers = { authorization: `Bearer ${token}`, osooffset: `${epoch}:${(offset ?? 0) + 1}` };
    using waits = spyOn(edge.node, "waitFor");
    const waiting = [
      edge.call("GET", "/api/policy", { headers }),
      edge.call("POST", "/api/authorize", { headers, body: question }),
    ];
    await eventually(() => expect(waits.mock.calls).toHaveLength(2));
    expect((await primary.call("DELETE", `/api/keys/${id}`)).status).toBe(200);
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([401, 401]);
  });

  test("repeats a write whose answer was lost, and the primary has done it once", () =>
    withCluster(async (cluster) => {
      const primary = apiOf(await cluster.primary());
      await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const target = new URL(primary.url);
      let lost = 0;
      // Loses the first answer to a write.
      const proxy = createServer((near) => {
        const far = connect(Number(target.port), target.hostname);
        let isLosing = false;
        near.on("data", (bytes) => {
          isLosing ||= lost === 0 && bytes.toString("latin1").startsWith("POST /api/batch ");
          far.write(bytes);
        });
        far.on("data", (bytes) => {
          if (!isLosing) return near.write(bytes);
          lost++;
          return near.destroy();
        });
        for (const [one, other] of [
          [near, far],
          [far, near],
        ] as const)
          one.on("error", () => {}).on("close", () => other.destroy());
      });
      proxy.listen(0, "127.0.0.1");
      await once(proxy, "listening");
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const edge = apiOf(await cluster.edge("edge", { url }));
      const { offset } = primary.node.health();
      await eventually(() => expect(edge.node.health()).toMatchObject({ ok: true, offset }));
      const written = await edge.call("POST", "/api/batch", admission);
      expect([written.status, written.json]).toEqual([200, { message: "1 fact inserted, 0 facts deleted" }]);
      expect([lost, primary.node.health().offset]).toEqual([1, Number(offset) + 1]);
      proxy.close();
    }));

  test("answers with a message if it cannot reach a token", async () => {
    const { epoch, offset } = edge.node.health();
    const withToken = (token: string) =>
      edge.call("POST", "/api/authorize", { body: question, headers: { OsoOffset: token } });
    const future = await withToken(`${epoch}:${(offset ?? 0) + 1000}`);
    expect([future.status, future.headers.get("retry-after")]).toEqual([503, "1"]);
    // The wait is longer than the time for which a confirmation of the primary counts otherwise.
    const other = await withToken("0123456789abcdef:1");
    expect([other.status, other.headers.get("retry-after")]).toEqual([409, null]);
    const malformed = await withToken("yesterday");
    expect([malformed.status, malformed.json]).toEqual([
      400,
      { message: expect.stringContaining("`yesterday` is malformed"), code: "invalid_request" },
    ]);
    expect((await edge.call("POST", "/api/authorize", { body: question, headers: { OsoOffset: "" } })).status).toBe(
      200,
    );
  });

  test("answers queries and refuses writes without its primary", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      await primary.call("POST", "/api/batch", admission);
      const edge = apiOf(await cluster.edge("edge", running));
      await eventually(() =>
        expect(edge.node.health()).toMatchObject({ ok: true, offset: primary.node.health().offset }),
      );
      await running.stop();
      expect((await edge.call("POST", "/api/authorize", { body: question })).json).toEqual({ allowed: true });
      const refused = await edge.call("POST", "/api/batch", admission);
      expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
      expect(refused.json).toEqual({ message: expect.stringContaining("nothing was written"), code: "not_ready" });
    }));
});

describe("a fallback", () => {
  test("answers with its age, does not wait for tokens, and refuses writes", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      await primary.call("POST", "/api/batch", admission);
      const fallback = apiOf(await cluster.fallback(running, { refresh: "1h" }));
      await eventually(() => expect(fallback.node.health().ok).toBe(true));
      const later = await primary.call("POST", "/api/batch", {
        body: [{ inserts: [role("eve", "admin", Org("acme"))] }],
      });
      for (const token of [later.headers.get("osooffset") ?? "", "of another service"]) {
        const headers = { OsoOffset: token };
        const answer = await fallback.call("POST", "/api/authorize", { body: question, headers });
        expect(answer.json).toEqual({ allowed: true });
        expect(answer.headers.get("x-ostiary-snapshot-age-ms")).toMatch(/^\d+$/);
      }
      for (const [method, path] of [
        ["POST", "/api/batch"],
        ["POST", "/api/policy"],
        ["POST", "/api/clear_data"],
        ["POST", "/api/keys"],
        ["DELETE", "/api/keys/admin"],
      ] as const) {
        const refused = await fallback.call(method, path, { body: [] });
        expect([path, refused.status, refused.headers.get("retry-after")]).toEqual([path, 503, null]);
        expect(refused.json).toEqual({
          message: "this is a fallback, which only answers queries, send writes to the primary or an edge",
          code: "read_only",
        });
      }
      expect((await fallback.call("GET", "/replication/v1/head")).json).toEqual({
        message: "this fallback serves no other nodes, ask the primary",
        role: "fallback",
        code: "not_found",
      });
      const metrics = await fallback.call("GET", "/metrics");
      expect(metrics.text).toMatch(/oso_fallback_http_requests_count\{[^}]*path="\/api\/authorize"/);
      expect(metrics.text).toMatch(/oso_fallback_snapshot_age_ms/);
    }));

  test("is the second choice of the official client", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const { url } = running;
      await clientOf(url).policy(wildcardPolicy);
      await clientOf(url).insert(["has_role", User("bob"), "admin", Org("acme")]);
      const fallback = await cluster.fallback(running, { refresh: "1h" });
      await eventually(() => expect(fallback.node.health().ok).toBe(true));
      const oso = new Oso(url, adminKey, { fallbackUrl: fallback.url });
      await oso.insert(["has_role", User("eve"), "member", Org("acme")]);
      await running.stop();
      expect(await oso.authorize(User("bob"), "delete", Org("acme"))).toBe(true);
      expect(await oso.list(User("bob"), "delete", "Org")).toEqual(["acme"]);
      // The client's requests to a fallback have no query string, so the fallback refuses this one instead of giving
      // all facts.
      await expect(oso.get(["has_role", User("bob"), null, null])).rejects.toThrow(
        "`predicate` in the query is missing",
      );
    }));
});

/** The metrics of the newest node of this process. */
async function closuresShown(api: Api): Promise<Record<string, number>> {
  const { text } = await api.call("GET", "/metrics");
  const found = text.matchAll(/^ostiary_closure(?:s\{state="(\w+)"\}|_(rows)) (\d+)$/gm);
  return Object.fromEntries([...found].map(([, state, rows, count]) => [state ?? rows, Number(count)]));
}

test("each role has metrics of its materialized closures, of those that queries compute, and of their rows", () =>
  withCluster(async (cluster) => {
    const running = await cluster.primary({ "advanced.snapshotReuseMs": "1ms" });
    const primary = apiOf(running);
    expect(await closuresShown(primary)).toEqual({ kept: 0, walked: 0, rows: 0 });
    const src = `actor User {}
      resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder };
        "read" if "reader"; role if role on "parent"; }`;
    expect((await primary.call("POST", "/api/policy", { body: { src } })).status).toBe(200);
    const Folder = (id: string) => value("Folder", id);
    const parent = (child: string, above: string) =>
      fact("has_relation", Folder(child), value("String", "parent"), Folder(above));
    const insert = (...inserts: object[]) => primary.call("POST", "/api/batch", { body: [{ inserts }] });
    await insert(parent("a", "b"));
    expect(await closuresShown(primary)).toEqual({ kept: 1, walked: 0, rows: 1 });

    const edge = apiOf(await cluster.edge("edge", running, { "advanced.closureRowsMax": "2" }));
    await eventually(async () => expect(await closuresShown(edge)).toEqual({ kept: 1, walked: 0, rows: 1 }));
    await insert(parent("b", "c"));
    await eventually(async () => expect(await closuresShown(edge)).toEqual({ kept: 0, walked: 1, rows: 0 }));
    await insert(role("bob", "reader", Folder("c")));
    const question = {
      actor_type: "User",
      actor_id: "bob",
      action: "read",
      resource_type: "Folder",
      resource_id: "a",
    };
    await eventually(async () => {
      for (const api of [primary, edge])
        expect((await api.call("POST", "/api/authorize", { body: question })).json).toEqual({ allowed: true });
    });

    const fallback = apiOf(await cluster.fallback(running, { refresh: "1h" }));
    await eventually(async () => expect(await closuresShown(fallback)).toEqual({ kept: 1, walked: 0, rows: 3 }));
  }));

describe("a node without a database", () => {
  test("is not healthy, and answers with Retry-After", () =>
    withCluster(async (cluster) => {
      const fallback = apiOf(await cluster.fallback({ url: "http://127.0.0.1:9" }));
      const health = await fetch(`${fallback.url}/healthcheck`);
      expect([health.status, await health.json()]).toMatchObject([
        503,
        { status: "not ready", state: "BOOTSTRAP", offset: null },
      ]);
      const answer = await fallback.call("POST", "/api/authorize", { body: question });
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
      expect(answer.headers.get("x-ostiary-snapshot-age-ms")).toBeNull();
    }));
});
