/**
 * An edge replaces a primary: acknowledged writes survive, tokens stay valid, and the old primary is fenced. More cases
 * are in `failover.integration.test.ts`; the simulator (`test/sim`) tries their combinations.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import {
  adminKey,
  Cluster,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  post,
  reader,
  refusal,
  withCluster,
} from "./cluster.ts";
import { mayReadAt, positionAt, quick, threeNodes, votedFor, writeTo } from "./three-nodes.ts";

test("an edge continues where the primary ended, others follow it, and earlier tokens stay valid", () =>
  withCluster(async (cluster) => {
    const { primary, b, c } = await threeNodes(cluster);
    const before = await writeTo(primary.url, reader("ann"));
    const token = before.headers.get("OsoOffset") ?? "";
    expect(token).not.toBe("");
    expect(await (await mayReadAt(b.url, "ann", { OsoOffset: token })).json()).toEqual({ allowed: true });
    expect(await (await mayReadAt(c.url, "ann", { OsoOffset: token })).json()).toEqual({ allowed: true });
    await primary.stop();

    const promoted = await post(b.url, "/api/promote", {});
    expect(promoted.status).toBe(200);
    expect(await positionAt(b.url)).toMatchObject({ role: "primary", state: "PRIMARY" });
    // Through the other edge, which finds the new primary by itself.
    await eventually(async () => expect((await writeTo(c.url, reader("bob"))).status).toBe(200));
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

describe("while the primary is alive", () => {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-failover-"));
  const cluster = new Cluster(directory, {});
  let nodes: Awaited<ReturnType<typeof threeNodes>>;
  beforeAll(async () => void (nodes = await threeNodes(cluster)));
  afterAll(async () => {
    await cluster.stop();
    rmSync(directory, { recursive: true });
  });
  const inCluster = (body: (running: typeof nodes) => Promise<void>): Promise<void> => body(nodes);

  test("a node key is needed to ask for a node's position", () =>
    inCluster(async ({ b }) => {
      const ask = (key: string) =>
        fetch(`${b.url}/replication/v1/head`, { headers: { Authorization: `Bearer ${key}` } });
      expect((await ask(nodeKey)).status).toBe(200);
      expect((await ask(adminKey)).status).toBe(401);
    }));

  test("edges are asked for their votes with a node and a token, by a holder of the node key, and only for a candidate", () =>
    inCluster(async ({ b }) => {
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

  test("a promotion is refused, unless it is forced; then the old primary is fenced", () =>
    inCluster(async ({ b, primary }) => {
      const refused = await post(b.url, "/api/promote", {});
      expect(refused.status).toBe(409);
      expect(((await refused.json()) as { message: string }).message).toContain("is alive");
      expect((await post(primary.url, "/api/promote", { force: true })).status).toBe(409);
      expect((await post(b.url, "/api/promote", { force: true })).status).toBe(200);
      // And the old primary notices.
      await eventually(async () => expect((await positionAt(primary.url)).state).toBe("FENCED"));
      expect((await writeTo(primary.url, reader("late"))).status).toBe(503);
      expect((await fetch(`${primary.url}/healthcheck`)).status).toBe(200);
      expect((await fetch(`${primary.url}/readyz`)).status).toBe(503);
    }));
});

test("the old primary returns, is fenced, and saves the events that only it has to a file", () =>
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
    expect((await writeTo(edge.url, reader("new"))).status).toBe(200);

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
