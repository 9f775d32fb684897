/**
 * An edge replaces a primary that is gone: acknowledged writes survive, tokens stay valid, and the old primary notices
 * its successor when it returns.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import type { Fact } from "../../src/store/facts/fact.ts";

import { openBrokerProxy } from "./broker-proxy.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  post,
  reader,
  refusal,
  withCluster,
  type Cluster,
} from "./cluster.ts";

const quick = {
  "advanced.peerCheckIntervalMs": "200ms",
  "advanced.headIntervalMs": "100ms",
  "advanced.brokerSilenceMsMax": "500ms",
  "advanced.pollIntervalMs": "200ms",
};

interface NodePosition {
  readonly role: string;
  readonly state: string;
  readonly epoch: string;
  readonly offset: number;
  readonly digest: string;
  readonly unreplicated_events?: number;
}

async function positionAt(url: string): Promise<NodePosition> {
  return (await (await fetch(`${url}/healthcheck`)).json()) as NodePosition;
}

async function write(url: string, ...facts: Fact[]): Promise<Response> {
  return post(url, "/api/batch", [{ inserts: facts }]);
}

async function mayReadAt(url: string, user: string, headers: Record<string, string> = {}): Promise<Response> {
  const body = { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" };
  return fetch(`${url}/api/authorize`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** A primary that does not listen any more but was not stopped would be best; in one process it has to be stopped. */
async function threeNodes(cluster: Cluster, flags: Record<string, string> = {}) {
  const [portA, portB, portC] = [await freePort(), await freePort(), await freePort()].map(String);
  const urls = [portA, portB, portC].map((port) => `http://127.0.0.1:${port}`);
  const [urlA = "", urlB = "", urlC = ""] = urls;
  const primary = await cluster.primary({ port: portA ?? "", peers: `${urlB},${urlC}`, ...quick, ...flags });
  const follow = { primary: urlA, ...quick, ...flags };
  const b = await cluster.promotable("edge-b", { ...follow, port: portB ?? "", peers: urlC });
  const c = await cluster.promotable("edge-c", { ...follow, port: portC ?? "", peers: urlB });
  await loadPolicy(primary.node);
  await eventually(async () => {
    for (const { url } of [b, c]) expect(await positionAt(url)).toMatchObject({ offset: primary.node.health().offset });
  });
  return { primary, b, c, portA: portA ?? "", urls };
}

describe("promotion", () => {
  test("an edge continues where the primary ended, others follow it, and earlier tokens stay valid", () =>
    withCluster(async (cluster) => {
      const { primary, b, c } = await threeNodes(cluster);
      const before = await write(primary.url, reader("ann"));
      const token = before.headers.get("OsoOffset") ?? "";
      expect(token).not.toBe("");
      expect(await (await mayReadAt(b.url, "ann", { OsoOffset: token })).json()).toEqual({ allowed: true });
      expect(await (await mayReadAt(c.url, "ann", { OsoOffset: token })).json()).toEqual({ allowed: true });
      await primary.stop();

      const promoted = await post(b.url, "/api/promote", {});
      expect(promoted.status).toBe(200);
      expect(await positionAt(b.url)).toMatchObject({ role: "primary", state: "PRIMARY" });
      // Through the other edge, which finds the new primary by itself.
      await eventually(async () => expect((await write(c.url, reader("bob"))).status).toBe(200));
      for (const { url } of [b, c]) {
        expect(await (await mayReadAt(url, "bob")).json()).toEqual({ allowed: true });
        expect(await (await mayReadAt(url, "ann", { OsoOffset: token })).json()).toEqual({ allowed: true });
      }
      // Of the old epoch, but not part of the surviving history.
      const [epoch, offset] = token.split(":");
      const lost = await mayReadAt(b.url, "ann", { OsoOffset: `${epoch}:${Number(offset) + 7}` });
      expect(lost.status).toBe(409);
      expect(((await lost.json()) as { message: string }).message).toContain("not part of this environment's history");

      // It stays the primary after a restart with the configuration of an edge.
      await b.stop();
      const again = await cluster.promotable("edge-b", {
        primary: primary.url,
        port: new URL(b.url).port,
        peers: c.url,
        ...quick,
      });
      expect(await positionAt(again.url)).toMatchObject({ role: "primary", state: "PRIMARY" });
    }));

  test("is refused while the primary is alive, unless it is forced", () =>
    withCluster(async (cluster) => {
      const { b, primary } = await threeNodes(cluster);
      const refused = await post(b.url, "/api/promote", {});
      expect(refused.status).toBe(409);
      expect(((await refused.json()) as { message: string }).message).toContain("is alive");
      expect((await post(primary.url, "/api/promote", { force: true })).status).toBe(409);
      expect((await post(b.url, "/api/promote", { force: true })).status).toBe(200);
      // And the old primary notices.
      await eventually(async () => expect((await positionAt(primary.url)).state).toBe("FENCED"));
      expect((await write(primary.url, reader("late"))).status).toBe(503);
      expect((await fetch(`${primary.url}/healthcheck`)).status).toBe(200);
      expect((await fetch(`${primary.url}/readyz`)).status).toBe(503);
    }));

  test("fetches from peers the events that only they have", () =>
    withCluster(async (cluster) => {
      const { primary, b, c } = await threeNodes(cluster);
      await b.stop();
      await insert(primary.node, "ann", "bob");
      await eventually(async () => expect((await positionAt(c.url)).offset).toBe(primary.node.health().offset ?? 0));
      await primary.stop();
      const { port } = new URL(b.url);
      const late = await cluster.promotable("edge-b", { primary: primary.url, port, peers: c.url, ...quick });
      expect((await post(late.url, "/api/promote", {})).status).toBe(200);
      expect(await (await mayReadAt(late.url, "bob")).json()).toEqual({ allowed: true });
    }));
});

describe("the old primary", () => {
  test("returns, is fenced, and saves the events that only it has to a file", () =>
    withCluster(async (cluster) => {
      const { primary, b, c, portA, urls } = await threeNodes(cluster);
      await b.stop();
      await c.stop();
      await insert(primary.node, "only-here");
      const { epoch, offset } = primary.node.health();
      await primary.stop();
      const { port } = new URL(b.url);
      const edge = await cluster.promotable("edge-b", { primary: primary.url, port, peers: c.url, ...quick });
      expect((await post(edge.url, "/api/promote", {})).status).toBe(200);
      expect((await write(edge.url, reader("new"))).status).toBe(200);

      const back = await cluster.primary({ port: portA, peers: `${urls[1]},${urls[2]}`, ...quick });
      expect(back.node.health()).toMatchObject({ state: "FENCED", unreplicated: 1 });
      expect((await refusal(insert(back.node, "nobody"))).message).toContain("another primary has taken over");
      const file = readdirSync(back.data).find((name) => name.startsWith("unreplicated-"));
      expect(file).toBe(`unreplicated-${epoch}-${offset}-${offset}.ndjson`);
      const [line] = readFileSync(join(back.data, file ?? ""), "utf8")
        .trim()
        .split("\n");
      expect(JSON.parse(line ?? "")).toMatchObject({ epoch, offset, effect: { inserted: [reader("only-here")] } });

      // As an edge of its successor it has the surviving history.
      await back.stop();
      const rejoined = await cluster.edge("primary", { ...back, url: edge.url }, quick);
      await eventually(async () => expect(rejoined.node.health().offset).toBe((await positionAt(edge.url)).offset));
      expect(mayRead(rejoined.node, "only-here")).toBe(false);
      expect(mayRead(rejoined.node, "new")).toBe(true);
    }));

  test("keeps its own events until it has a replica of the other history, and no file exists before", () =>
    withCluster(async (cluster) => {
      const { primary, b, c } = await threeNodes(cluster);
      await b.stop();
      await c.stop();
      await insert(primary.node, "only-here");
      await primary.stop();
      const { port } = new URL(b.url);
      const edge = await cluster.promotable("edge-b", { primary: primary.url, port, peers: c.url, ...quick });
      expect((await post(edge.url, "/api/promote", {})).status).toBe(200);
      let refused = 0;
      let isThere = false;
      using successor = Bun.serve({
        port: 0,
        fetch({ url, headers }) {
          const { pathname, search } = new URL(url);
          if (!pathname.includes("snapshot") || isThere) return fetch(`${edge.url}${pathname}${search}`, { headers });
          refused++;
          return Response.json({ message: "not now" }, { status: 503 });
        },
      });
      const back = await cluster.edge(
        "primary",
        { url: `http://127.0.0.1:${successor.port}` },
        { ...quick, "advanced.retryDelayMsMin": "50ms", "advanced.retryDelayMsMax": "200ms" },
      );
      const files = (): string[] => readdirSync(back.data).filter((name) => name.startsWith("unreplicated-"));
      await eventually(() => expect(refused).toBeGreaterThan(1));
      expect(files()).toEqual([]);
      expect(mayRead(back.node, "only-here")).toBe(true);
      isThere = true;
      await eventually(() => expect(mayRead(back.node, "only-here")).toBe(false));
      expect(files().length).toBe(1);
    }));

  test("without peers is told by nodes that follow another primary", () =>
    withCluster(async (cluster) => {
      const { primary, b, c, portA } = await threeNodes(cluster, { mqttPort: "0" });
      await primary.stop();
      expect((await post(b.url, "/api/promote", {})).status).toBe(200);
      await eventually(async () => expect((await write(c.url, reader("bob"))).status).toBe(200));
      const back = await cluster.primary({ port: portA, ...quick });
      await eventually(() => expect(back.node.health().state).toBe("FENCED"));
    }));
});

describe("a write that edges must have", () => {
  test("is acknowledged when they have it, and not before", () =>
    withCluster(async (cluster) => {
      const flags = { ack: "edges:1", "advanced.ackTimeoutMs": "700ms" };
      const port = String(await freePort());
      const primary = await cluster.primary({ port, ...quick, ...flags });
      const alone = await refusal(loadPolicy(primary.node));
      expect(alone).toMatchObject({ code: "not_ready", message: expect.stringContaining("not enough edges") });
      const edge = await cluster.edge("edge-1", primary, { ...quick, ...flags });
      await eventually(() => expect(edge.node.health().offset).toBe(primary.node.health().offset ?? 0));
      await insert(primary.node, "ann");
      expect(mayRead(edge.node, "ann")).toBe(true);
      await edge.stop();
      expect((await refusal(insert(primary.node, "bob"))).message).toContain("send it again");
    }));
});

test(
  "an edge whose primary is frozen fetches the events of a peer before the primary's timeout",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary(quick);
      const b = await cluster.edge("edge-b", primary, quick);
      let isFrozen = false;
      const never = new Promise<Response>(() => {});
      using frozen = Bun.serve({
        port: 0,
        // Pending requests get no answer either.
        fetch: async ({ url, headers }) => {
          const answer = await fetch(url.replace(/^http:..[^/]+/, primary.url), { headers });
          return isFrozen ? never : answer;
        },
      });
      const c = await cluster.edge(
        "edge-c",
        { ...primary, url: `http://127.0.0.1:${frozen.port}` },
        { ...quick, peers: b.url, "advanced.logTimeoutMs": "60s" },
      );
      await loadPolicy(primary.node);
      await converged(c.node, primary.node);
      isFrozen = true;
      await insert(primary.node, "late");
      await eventually(() => expect(mayRead(c.node, "late")).toBe(true));
    }),
  40_000,
);

describe("the edges that a promotion asks", () => {
  const flags = { ack: "edges:1", "advanced.ackTimeoutMs": "700ms" };
  /** As soon as edges have it. */
  const acknowledged = (write: () => Promise<unknown>): Promise<void> => eventually(async () => void (await write()));
  const votedFor = async (url: string): Promise<unknown> =>
    ((await (await fetch(`${url}/healthcheck`)).json()) as { pledged_to?: string }).pledged_to;

  test("let the old primary acknowledge nothing more, and follow its successor, also after a restart", () =>
    withCluster(async (cluster) => {
      // The promoted edge cannot reach the primary, and no other node looks for another one.
      const alone = { ...quick, ...flags, "advanced.peerCheckIntervalMs": "1h" };
      const [port, portB, portC] = [await freePort(), await freePort(), await freePort()].map(String);
      const primary = await cluster.primary({ port: port ?? "", ...alone });
      const line = await openBrokerProxy(Number(port));
      const b = await cluster.promotable("edge-b", {
        ...alone,
        primary: line.url.replace("mqtt:", "http:"),
        port: portB ?? "",
        peers: `http://127.0.0.1:${portC}`,
      });
      const ofC = { ...alone, primary: primary.url, port: portC ?? "", peers: b.url };
      const c = await cluster.promotable("edge-c", ofC);
      await acknowledged(() => loadPolicy(primary.node));
      await acknowledged(() => insert(primary.node, "ann"));
      const end = primary.node.health().offset ?? 0;
      await eventually(async () => {
        for (const { url } of [b, c]) expect(await positionAt(url)).toMatchObject({ state: "LIVE", offset: end });
      });
      line.close();
      expect((await post(b.url, "/api/promote", {})).status).toBe(200);
      const late = await refusal(insert(primary.node, "late"));
      expect(late).toMatchObject({
        code: "not_ready",
        message: expect.stringMatching(/not enough edges|another primary/),
      });
      const { epoch } = await positionAt(b.url);
      await eventually(async () => expect(await positionAt(c.url)).toMatchObject({ epoch, state: "LIVE" }));
      await c.stop();
      const again = await cluster.promotable("edge-c", ofC);
      await eventually(async () => expect(await positionAt(again.url)).toMatchObject({ epoch, state: "LIVE" }));
      expect(await refusal(insert(primary.node, "later"))).toMatchObject({ code: "not_ready" });
    }));

  test(
    "must be enough not to miss an acknowledged write, and count again after a failed promotion",
    () =>
      withCluster(async (cluster) => {
        // Accepts connections and does not answer: so the others are asked, and the promotion waits.
        const mute = createServer().listen(0, "127.0.0.1");
        await once(mute, "listening");
        mute.unref();
        const { primary, b, c, portA } = await threeNodes(cluster, { ack: "edges:1" });
        const { port } = new URL(b.url);
        await b.stop();
        const silent = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`;
        const peers = `${c.url},${silent},http://127.0.0.1:${port}`;
        const impatient = { ...quick, ...flags, "advanced.logTimeoutMs": "500ms" };
        const late = await cluster.promotable("edge-b", { primary: primary.url, port, peers, ...impatient });
        await primary.stop();
        const promotion = post(late.url, "/api/promote", {});
        await eventually(async () => expect(await votedFor(c.url)).toBe("edge-b"));
        const refused = await promotion;
        expect(refused.status).toBe(409);
        expect(((await refused.json()) as { message: string }).message).toContain(`${silent} cannot be asked`);
        await eventually(async () => expect(await votedFor(c.url)).toBeUndefined());
        const back = await cluster.primary({ port: portA, ...quick, ...flags });
        await eventually(async () => expect((await write(back.url, reader("ann"))).status).toBe(200));

        const { epoch } = await positionAt(back.url);
        await eventually(async () => expect((await positionAt(late.url)).epoch).toBe(epoch));
        await back.stop();
        expect((await post(late.url, "/api/promote", { force: true })).status).toBe(200);
        await eventually(async () => expect((await write(c.url, reader("bob"))).status).toBe(200));
        expect(await votedFor(c.url)).toBeUndefined();
      }),
    40_000,
  );

  test(
    "acknowledge nothing of the primary while they wait for the promotion, also after a restart",
    () =>
      withCluster(async (cluster) => {
        const [port, portB, portC] = [await freePort(), await freePort(), await freePort()].map(String);
        // Refuses its vote when the test says so: until then the promotion waits, and then it fails.
        let refuseVote = (): void => {};
        const lateRefusal = async (): Promise<Response> => {
          await new Promise<void>((resolve) => (refuseVote = resolve));
          return new Response(null, { status: 503 });
        };
        const toC = (request: Request): Promise<Response> =>
          fetch(request.url.replace(/^http:..[^/]+/, `http://127.0.0.1:${portC}`), { headers: request.headers }).catch(
            () => new Response(null, { status: 503 }),
          );
        using mute = Bun.serve({
          port: 0,
          idleTimeout: 0,
          fetch: (request) => (request.method === "POST" ? lateRefusal() : toC(request)),
        });
        const primary = await cluster.primary({ port: port ?? "", ...quick, ...flags });
        const line = await openBrokerProxy(Number(port));
        const urlC = `http://127.0.0.1:${portC}`;
        const b = await cluster.promotable("edge-b", {
          ...{ ...quick, ...flags, primary: line.url.replace("mqtt:", "http:"), port: portB ?? "" },
          "advanced.logTimeoutMs": "60s",
          peers: `${urlC},http://127.0.0.1:${mute.port},http://127.0.0.1:${await freePort()}`,
        });
        const ofC = { ...quick, ...flags, primary: primary.url, port: portC ?? "", peers: b.url };
        let running = await cluster.promotable("edge-c", ofC);
        await acknowledged(() => loadPolicy(primary.node));
        await eventually(async () => {
          for (const { url } of [b, running]) expect((await positionAt(url)).state).toBe("LIVE");
        });
        line.close();
        const duringPromotion = async <T>(question: () => Promise<T>): Promise<T> => {
          const promotion = post(b.url, "/api/promote", {});
          await eventually(async () => expect(await votedFor(running.url)).toBe("edge-b"));
          const answer = await question();
          refuseVote();
          expect((await promotion).status).toBe(409);
          return answer;
        };
        const late = await duringPromotion(() => insert(primary.node, "late").catch((error: unknown) => error));
        expect(late).toMatchObject({ code: "not_ready", message: expect.stringContaining("not enough edges") });
        await eventually(async () => expect(await votedFor(running.url)).toBeUndefined());
        const afterRestart = await duringPromotion(async () => {
          await running.stop();
          running = await cluster.promotable("edge-c", ofC);
          return (await votedFor(running.url)) ?? "nobody";
        });
        expect(afterRestart).toBe("edge-b");
        // The promotion failed, so the edge counts again.
        await eventually(async () => expect(await votedFor(running.url)).toBeUndefined());
        await acknowledged(() => insert(primary.node, "in-time"));
      }),
    90_000,
  );

  test("do not include nodes that do not count", () =>
    withCluster(async (cluster) => {
      const [port, portC] = [await freePort(), await freePort()].map(String);
      const primary = await cluster.primary({ port: port ?? "", ...quick, ...flags });
      const fallback = await cluster.fallback(primary);
      const follow = { primary: primary.url, ...quick, ...flags };
      const c = await cluster.promotable("edge-c", { ...follow, port: portC ?? "", peers: "" });
      // It may have itself among its peers, if all nodes have the same list.
      const peers = `${c.url},${fallback.url}`;
      await c.stop();
      const again = await cluster.promotable("edge-c", { ...follow, port: portC ?? "", peers });
      await acknowledged(() => loadPolicy(primary.node));
      await eventually(async () =>
        expect((await positionAt(again.url)).offset).toBe(primary.node.health().offset ?? 0),
      );
      await primary.stop();
      expect((await post(again.url, "/api/promote", {})).status).toBe(200);
    }));

  test("let one of two edges be promoted that ask at the same time", () =>
    withCluster(async (cluster) => {
      const { primary, b, c } = await threeNodes(cluster);
      await primary.stop();
      const both = await Promise.all([b, c].map(({ url }) => post(url, "/api/promote", {})));
      const refusals = both.filter(({ status }) => status === 409);
      expect(refusals.length).toBeGreaterThan(0);
      for (const answer of refusals)
        expect(((await answer.json()) as { message: string }).message).toMatch(/vote|about to be promoted|later epoch/);
      if (refusals.length === 2)
        await eventually(async () => expect((await post(b.url, "/api/promote", {})).status).toBe(200));
      await eventually(async () => {
        const roles = await Promise.all([b, c].map(async ({ url }) => (await positionAt(url)).role));
        expect(roles.toSorted()).toEqual(["edge", "primary"]);
      });
    }));

  test("are asked with a node and a token, by a holder of the node key, and only for a candidate", () =>
    withCluster(async (cluster) => {
      const { b } = await threeNodes(cluster);
      const { epoch } = await positionAt(b.url);
      const ask = (query: string, key: string, method = "POST") =>
        fetch(`${b.url}/replication/v1/pledge?${query}`, { method, headers: { Authorization: `Bearer ${key}` } });
      const past = `epoch=${epoch}&term=0&after=1&hash=${"0".repeat(16)}`;
      const present = past.replace("term=0", `term=${Number.MAX_SAFE_INTEGER}`);
      expect((await ask(`${present}&node=edge-c&token=1`, adminKey)).status).toBe(401);
      expect((await ask(`${present}&node=edge-c&token=1`, nodeKey, "GET")).status).toBe(405);
      const malformed = ["", present, `${present}&node=x`, `${present}&node=&token=1`, "node=x&token=1"];
      const wrong = [
        ...malformed,
        `${present}&node=x%20y&token=1`,
        `${present}&node=x@&token=1`,
        `${present}&node=x&token=${"1".repeat(129)}`,
      ];
      for (const query of [...wrong, `${past.replace("term=0", "term=-1")}&node=x&token=1`])
        expect((await ask(query, nodeKey)).status).toBe(400);
      // Neither an unknown node nor one that is not about to be promoted.
      for (const node of ["x", "edge-c", "edge-c@staging", `${"x".repeat(64)}@${"y".repeat(32)}`]) {
        const refused = await ask(`${present}&node=${node}&token=1&force=true`, nodeKey);
        expect([refused.status, await refused.text()]).toEqual([409, expect.stringContaining("none of its peers")]);
      }
      // For an epoch that is over, no promise is needed.
      expect((await ask(`${past}&node=x&token=1`, nodeKey)).status).toBe(200);
      expect(await votedFor(b.url)).toBeUndefined();
    }));

  test("must answer themselves: an answer of a proxy in place of a stopped node does not count", () =>
    withCluster(async (cluster) => {
      const { primary, b, c } = await threeNodes(cluster, { ack: "edges:1" });
      const proxy = Bun.serve({ port: 0, fetch: () => Response.json({ message: "no route" }, { status: 404 }) });
      try {
        await Promise.all([b, c].map((edge) => edge.stop()));
        const peers = `http://127.0.0.1:${proxy.port}`;
        const { port } = new URL(b.url);
        const alone = await cluster.promotable("edge-b", { primary: primary.url, port, peers, ...quick, ...flags });
        await primary.stop();
        const refused = await post(alone.url, "/api/promote", {});
        expect([refused.status, await refused.text()]).toEqual([
          409,
          expect.stringContaining(`${peers} cannot be asked`),
        ]);
      } finally {
        await proxy.stop(true);
      }
    }));

  test("let an edge be promoted that has lost a primary which still writes to others", () =>
    withCluster(async (cluster) => {
      const [port, portB, portC] = [await freePort(), await freePort(), await freePort()].map(String);
      const primary = await cluster.primary({ port: port ?? "", ...quick, ...flags });
      const line = await openBrokerProxy(Number(port));
      const ofB = {
        primary: line.url.replace("mqtt:", "http:"),
        port: portB ?? "",
        peers: `http://127.0.0.1:${portC}`,
      };
      const b = await cluster.promotable("edge-b", { ...quick, ...flags, ...ofB });
      const c = await cluster.edge("edge-c", primary, { ...quick, ...flags, port: portC ?? "", peers: b.url });
      await acknowledged(() => loadPolicy(primary.node));
      await eventually(async () => expect((await positionAt(b.url)).state).toBe("LIVE"));
      line.close();
      let isOver = false;
      const kept: string[] = [];
      const writing = (async () => {
        for (let count = 0; !isOver; count++) {
          const user = `user-${count}`;
          void insert(primary.node, user).then(
            () => kept.push(user),
            () => {},
          );
          await Bun.sleep(10);
        }
      })();
      await eventually(() => expect(kept.length).toBeGreaterThan(10));
      expect((await post(b.url, "/api/promote", {})).status).toBe(200);
      await eventually(() => expect(primary.node.health().state).toBe("FENCED"));
      isOver = true;
      await writing;
      await eventually(async () => {
        expect(c.node.health()).toMatchObject({ state: "LIVE", epoch: (await positionAt(b.url)).epoch });
      });
      for (const user of kept)
        expect([user, await (await mayReadAt(b.url, user)).json()]).toEqual([user, { allowed: true }]);
    }));

  test("need not include the primary's predecessor, but may", () =>
    withCluster(async (cluster) => {
      const { primary: first, b, c, portA } = await threeNodes(cluster, { ack: "edges:1" });
      await first.stop();
      expect((await post(b.url, "/api/promote", {})).status).toBe(200);
      await eventually(async () => expect((await write(c.url, reader("bob"))).status).toBe(200));
      const peers = `${b.url},${c.url}`;
      const former = await cluster.edge("primary", b, { ...quick, ...flags, port: portA, peers });
      await eventually(async () => expect(former.node.health().offset).toBe((await positionAt(b.url)).offset));
      await c.stop();
      await b.stop();
      // It knows only the first primary, which is an edge now.
      const again = await cluster.promotable("edge-c", {
        ...{ primary: first.url, port: new URL(c.url).port, peers: b.url },
        ...quick,
        ...flags,
      });
      await eventually(async () => expect((await positionAt(again.url)).role).toBe("edge"));
      expect((await post(again.url, "/api/promote", {})).status).toBe(200);
      expect(await (await mayReadAt(again.url, "bob")).json()).toEqual({ allowed: true });
    }));
});

test("a node key is needed to ask for a node's position", () =>
  withCluster(async (cluster) => {
    const { b } = await threeNodes(cluster);
    const ask = (key: string) => fetch(`${b.url}/replication/v1/head`, { headers: { Authorization: `Bearer ${key}` } });
    expect((await ask(nodeKey)).status).toBe(200);
    expect((await ask(adminKey)).status).toBe(401);
  }));
