/**
 * Request bodies that never end, are too slow, too many, or without a valid key, on a primary and on an edge that
 * forwards writes.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { mintApiKey } from "../../src/store/keys/api-keys.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  post,
  withCluster,
} from "../replication/cluster.ts";
import { holdConnections, openConnection, requestHead, sendRaw, sendSlowly, unfinishedRequest } from "./raw-http.ts";

/** The number of requests with status 500 in the metrics of this process. */
async function failures(url: string): Promise<readonly string[]> {
  const answer = await fetch(`${url}/metrics`, { headers: { Authorization: `Bearer ${adminKey}` } });
  return (await answer.text()).split("\n").filter((line) => /_count\{.*status="500"\}/.test(line));
}

const routes = [
  "/api/authorize",
  "/api/list",
  "/api/batch",
  "/api/policy",
  "/api/keys",
  "/api/validate",
  "/api/clear_data",
  "/api/promote",
  "/replication/v1/pledge",
  "/api/nothing",
  "/healthcheck",
];

describe("a body with an unknown key", () => {
  test("is refused before it is read, on every route, and its connection is closed", async () => {
    await withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      for (const { url } of [primary, edge])
        for (const path of routes)
          for (const key of ["x", undefined, "e_test_0123456789ab_0123456789abcdef0123456789abcdef"]) {
            const connection = await openConnection(url);
            connection.send(`${unfinishedRequest(path, key, 900_000)}[`);
            const answer = await connection.answer();
            expect(`${path}: ${answer?.status}`).toMatch(/: (?:401|404|405)$/);
            await connection.until(() => connection.isClosed);
            expect(connection.isClosed).toBe(true);
          }
    });
  });

  test("uses no slot of an edge: others write through it meanwhile", async () => {
    await withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge", primary);
        await converged(edge.node, primary.node);
        const first = `${unfinishedRequest("/api/batch", "x", 900_000)}[`;
        const held = await holdConnections(edge.url, { count: 500, first });
        const fact = {
          predicate: "has_role",
          args: [
            { type: "User", id: "ann" },
            { type: "String", id: "reader" },
            { type: "Repo", id: "main" },
          ],
        };
        expect((await post(edge.url, "/api/batch", [{ inserts: [fact] }])).status).toBe(200);
        expect(mayRead(edge.node, "ann")).toBe(true);
        await eventually(() => expect(held.open()).toBe(0));
        held.close();
      },
      { "advanced.requestsInFlightMax": "100" },
    );
  });
});

describe("a key that an edge does not know yet", () => {
  test("is looked up at the primary, by its hash, and its write goes through", async () => {
    await withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      // An edge without new events: its broker is gone, and it polls rarely.
      const edge = await cluster.edge("edge", primary, {
        broker: "mqtt://127.0.0.1:9",
        "advanced.pollIntervalMs": "1h",
        "advanced.brokerSilenceMsMax": "1h",
      });
      await converged(edge.node, primary.node);
      const minted = mintApiKey("test");
      const key = { id: minted.id, name: "new", role: "write", hash: minted.hash, timeMs: 1 } as const;
      await primary.node.writes.keys({ add: [key], remove: [] }, { traceparent: null });
      expect(edge.node.engine().secretsOf(minted.id)).toEqual([]);
      expect((await post(edge.url, "/api/batch", [], minted.text)).status).toBe(200);
      expect((await post(edge.url, "/api/keys", {}, minted.text)).status).toBe(403);
      expect((await post(edge.url, "/api/batch", [], `${minted.text}0`)).status).toBe(401);
    });
  });

  test("invented keys are looked up at a limited rate, and do not block writes with known keys", async () => {
    await withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge", primary);
        await converged(edge.node, primary.node);
        const attempts = Array.from({ length: 200 }, () => post(edge.url, "/api/batch", [], mintApiKey("test").text));
        const statuses = (await Promise.all(attempts)).map(({ status }) => status);
        const asked = statuses.filter((status) => status === 401).length;
        expect(asked).toBeGreaterThan(0);
        expect(asked).toBeLessThanOrEqual(20);
        expect(statuses.filter((status) => status === 503)).toHaveLength(200 - asked);
        expect((await post(edge.url, "/api/batch", [])).status).toBe(200);
      },
      { "advanced.keyLookupsPerSecondMax": "10" },
    );
  });
});

describe("a body with a valid key", () => {
  const quick = { "advanced.bodyTimeoutMs": "1s", "advanced.bodyBytesPerSecondMin": "10KiB" };

  test("that stops in the middle is answered with 408", async () => {
    await withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      for (const [path, length] of [
        ["/api/authorize", 500],
        ["/api/list", 500_000],
        ["/api/batch", 900_000],
      ] as const) {
        const connection = await openConnection(url);
        connection.send(`${unfinishedRequest(path, adminKey, length)}{"a":`);
        const answer = await connection.answer(6000);
        expect(answer?.status).toBe(408);
        expect(answer?.headers["connection"]).toBe("close");
      }
    }, quick);
  });

  test("that comes byte by byte is answered with 408, one at a fair rate is accepted", async () => {
    await withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      const slow = await openConnection(url);
      slow.send(unfinishedRequest("/api/list", adminKey, 20_000));
      const dripping = sendSlowly(slow, Buffer.alloc(20_000, " "), { pauseMs: 50 });
      const fair = await openConnection(url);
      fair.send(unfinishedRequest("/api/batch", adminKey, 60_002));
      for (let sent = 0; sent < 60_000; sent += 4000) {
        fair.send(Buffer.alloc(4000, " "));
        await Bun.sleep(120);
      }
      fair.send("[]");
      expect((await fair.answer())?.status).toBe(200);
      expect((await slow.answer(6000))?.status).toBe(408);
      await dripping;
    }, quick);
  });

  test("without a declared length has the same limit", async () => {
    await withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      const head = requestHead({
        method: "POST",
        path: "/api/batch",
        headers: { Authorization: `Bearer ${adminKey}`, "Transfer-Encoding": "chunked" },
      });
      const endless = await openConnection(url);
      endless.send(head);
      const piece = `10000\r\n${" ".repeat(0x10000)}\r\n`;
      for (let sent = 0; sent < 32 && !endless.isClosed; sent++) endless.send(piece);
      expect((await endless.answer())?.status).toBe(413);
      const silent = await openConnection(url);
      silent.send(`${head}1\r\n[\r\n`);
      expect((await silent.answer(6000))?.status).toBe(408);
    }, quick);
  });

  test("above the limit is answered when it has arrived, since most clients read no answer before", async () => {
    await withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      const length = 12 * 1024 * 1024;
      const connection = await openConnection(url);
      connection.send(unfinishedRequest("/api/authorize", adminKey, length));
      connection.send(Buffer.alloc(length, " "));
      const answer = await connection.answer();
      expect([answer?.status, answer?.headers["connection"]]).toEqual([413, undefined]);
      // The node has read all of it, so the connection is still of use.
      connection.send(requestHead({ path: "/healthcheck" }));
      expect(await connection.until(() => connection.received.includes("HTTP/1.1 200"))).toBe(true);
    });
  });

  test("above the limit that does not arrive, or is far above it, is not awaited", async () => {
    await withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      for (const length of [12 * 1024 * 1024, 60 * 1024 * 1024]) {
        const connection = await openConnection(url);
        connection.send(unfinishedRequest("/api/authorize", adminKey, length));
        const answer = await connection.answer();
        expect([answer?.status, answer?.headers["connection"]]).toEqual([413, "close"]);
      }
    });
  });

  test("large ones share a budget; health checks and small queries do not need it", async () => {
    await withCluster(
      async (cluster) => {
        const { url, node } = await cluster.primary();
        await loadPolicy(node);
        const body = " ".repeat(700_000);
        const held = await holdConnections(url, {
          count: 12,
          first: unfinishedRequest("/api/list", adminKey, 1_000_000) + body,
        });
        await eventually(() => {
          const refused = held.connections.filter(({ received }) => received.startsWith("HTTP/1.1 503"));
          expect(refused.length).toBeGreaterThan(5);
          expect(refused[0]?.received.toLowerCase()).toContain("retry-after: 1");
        });
        expect((await fetch(`${url}/healthcheck`)).status).toBe(200);
        const question = {
          actor_type: "User",
          actor_id: "ann",
          action: "read",
          resource_type: "Repo",
          resource_id: "main",
        };
        expect((await post(url, "/api/authorize", { ...question, context_facts: [] })).status).toBe(200);
        held.close();
        // Their bytes are free again.
        await insert(node, "ann");
        await eventually(async () => {
          const answer = await fetch(`${url}/api/list`, {
            method: "POST",
            headers: { Authorization: `Bearer ${adminKey}` },
            body: `${JSON.stringify({ actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", context_facts: [] })}${body}`,
          });
          expect(answer.status).toBe(200);
        });
      },
      { "advanced.bufferedBytesMax": "6MiB", "advanced.bufferedNodeBytesReserved": "1MiB" },
    );
  });

  test("that is aborted leaves no error in the log", async () => {
    await withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      for (const { url } of [primary, edge])
        for (const length of [100, 900_000])
          for (const path of ["/api/batch", "/api/authorize", "/api/policy"]) {
            const connection = await openConnection(url);
            connection.send(`${unfinishedRequest(path, adminKey, length)}[`);
            // The node has read the head meanwhile.
            expect((await fetch(`${url}/healthcheck`)).status).toBe(200);
            connection.abort();
            await connection.closed;
          }
      await eventually(async () => expect(await failures(primary.url)).toEqual([]));
    });
  });
});

test("health checks and other nodes are answered if all request slots are used", async () => {
  await withCluster(
    async (cluster) => {
      const primary = await cluster.primary();
      const first = unfinishedRequest("/api/batch", adminKey, 500);
      const held = await holdConnections(primary.url, { count: 30, first });
      await eventually(async () => expect((await post(primary.url, "/api/batch", [])).status).toBe(503));
      expect((await fetch(`${primary.url}/healthcheck`)).status).toBe(200);
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      held.close();
      await eventually(async () => expect((await post(primary.url, "/api/batch", [])).status).toBe(200));
    },
    { "advanced.requestsInFlightMax": "20" },
  );
});

describe("an invalid host", () => {
  const hosts = ["[", "a@b", "a/b", "x/api/healthcheck?", "a b", "a?b", "a:99999", "%", "ä"];

  test("never causes a 500, on any route, with or without an upgrade", async () => {
    await withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      const upgrade = {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
      };
      for (const { url } of [primary, edge])
        for (const Host of hosts) {
          const Authorization = `Bearer ${adminKey}`;
          const requests = [
            requestHead({ path: "/healthcheck", headers: { Host } }),
            requestHead({ path: "/mqtt", headers: { Host, ...upgrade } }),
            requestHead({ path: "/nothing", headers: { Host, ...upgrade } }),
            requestHead({ path: "/replication/v1/head", headers: { Host } }),
            `${requestHead({ method: "POST", path: "/api/batch", headers: { Host, Authorization, "Content-Length": "2" } })}[]`,
            requestHead({ path: "/api/facts?predicate=x", headers: { Host, Authorization } }),
          ];
          for (const request of requests) {
            const answer = await sendRaw(url, request, 2000);
            expect(`${Host}: ${answer?.status}`).toMatch(/: (?:101|200|400|401|404|426)$/);
          }
        }
    });
  });

  test("cannot lead a request to another route", async () => {
    await withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      for (const Host of ["x/healthcheck?", "x/healthcheck#", "x/healthcheck/.."]) {
        const answer = await sendRaw(url, requestHead({ path: "/api/keys", headers: { Host } }));
        expect(answer?.status).toBe(400);
      }
      const disguised = await sendRaw(
        url,
        requestHead({ path: "/api/keys?u=http://a/healthcheck", headers: { Host: "x y" } }),
      );
      expect(disguised?.status).toBe(400);
    });
  });

  test("can be missing, as in HTTP/1.0 health checks of load balancers", async () => {
    await withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      expect((await sendRaw(url, "GET /healthcheck HTTP/1.0\r\n\r\n"))?.status).toBe(200);
      expect((await sendRaw(url, requestHead({ path: "/healthcheck", headers: { Host: "" } })))?.status).toBe(200);
    });
  });
});

test("a path that is not percent-encoded UTF-8 never causes a 500", async () => {
  await withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = await cluster.edge("edge", primary);
    await converged(edge.node, primary.node);
    const headers = { Authorization: `Bearer ${adminKey}` };
    for (const { url } of [primary, edge])
      for (const id of ["%ff", "%", "%e0%a4%a", "%zz", "%00"]) {
        const answer = await sendRaw(url, requestHead({ method: "DELETE", path: `/api/keys/${id}`, headers }));
        expect(`${id}: ${answer?.status}`).toMatch(/: 40[04]$/);
        expect((await sendRaw(url, requestHead({ path: `/api/${id}?${id}=${id}`, headers })))?.status).toBe(404);
        const query = requestHead({ path: `/api/facts?predicate=${id}&args.0.type=${id}`, headers });
        expect([200, 400]).toContain((await sendRaw(url, query))?.status ?? 0);
      }
  });
});
