/** An edge replaces a primary: what peers contribute, whom a promotion asks, and how an old primary returns. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { freePort } from "../../scripts/node-process.ts";
import { openBrokerProxy } from "./broker-proxy.ts";
import { converged, eventually, insert, loadPolicy, mayRead, post, reader, refusal, withCluster } from "./cluster.ts";
import { mayReadAt, positionAt, quick, threeNodes, votedFor, writeTo } from "./three-nodes.ts";

describe("promotion", () => {
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
      await eventually(async () => expect((await writeTo(c.url, reader("bob"))).status).toBe(200));
      const back = await cluster.primary({ port: portA, ...quick });
      await eventually(() => expect(back.node.health().state).toBe("FENCED"));
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
  120_000,
);

describe("the edges that a promotion asks", () => {
  const flags = { ack: "edges:1", "advanced.ackTimeoutMs": "700ms" };
  /** As soon as edges have it. */
  const acknowledged = (write: () => Promise<unknown>): Promise<void> => eventually(async () => void (await write()));
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
        await eventually(async () => expect((await writeTo(back.url, reader("ann"))).status).toBe(200));

        const { epoch } = await positionAt(back.url);
        await eventually(async () => expect((await positionAt(late.url)).epoch).toBe(epoch));
        await back.stop();
        expect((await post(late.url, "/api/promote", { force: true })).status).toBe(200);
        await eventually(async () => expect((await writeTo(c.url, reader("bob"))).status).toBe(200));
        expect(await votedFor(c.url)).toBeUndefined();
      }),
    120_000,
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
    120_000,
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
      await eventually(async () => expect((await writeTo(c.url, reader("bob"))).status).toBe(200));
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
