/** With `ack`, changes of environments are acknowledged by edges as facts are, so a successor has them. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { inDirectory } from "../hostile/node.ts";
import { adminKey, type Cluster, eventually, withCluster } from "../replication/cluster.ts";
import { ask, createEnvironment, fill, mayRead } from "./host.ts";

const timeoutMs = 90_000;

const ack = { ack: "edges:1", "advanced.ackTimeoutMs": "500ms" };

type Host = Awaited<ReturnType<Cluster["host"]>>;

/** A primary of the environment `shop`, and the only edge, which has stopped. */
async function withoutEdge(
  cluster: Cluster,
): Promise<{ readonly primary: Host; readonly startEdge: () => Promise<Host> }> {
  const primary = await cluster.host("primary", "primary", ack);
  const startEdge = () => cluster.host("edge", "edge", { ...ack, primary: primary.url });
  const edge = await startEdge();
  await eventually(() => createEnvironment(primary, "shop"));
  await edge.stop();
  return { primary, startEdge };
}

const uncertain = [503, expect.stringContaining("not enough edges have it yet: send it again")];

test(
  "without enough edges a change is uncertain, and the same request again is done once",
  () =>
    withCluster(async (cluster) => {
      const { primary, startEdge } = await withoutEdge(cluster);
      const changes = [
        ["PATCH", "/api/environments/shop", { name: "Shop 2" }],
        ["DELETE", "/api/environments/shop", undefined],
        ["POST", "/api/environments/shop/restore", undefined],
        ["DELETE", "/api/environments/shop", undefined],
        ["POST", "/api/environments", { id: "late" }],
      ] as const;
      for (const [method, path, body] of changes)
        for (const _ of ["once", "again"]) {
          const { status, text } = await ask(primary, adminKey, method, path, body);
          expect([method, status, text]).toEqual([method, ...uncertain]);
        }
      await startEdge();
      const again = await eventually(async () => {
        const answer = await ask(primary, adminKey, "POST", "/api/environments", { id: "late" });
        expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
        return answer;
      });
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/shop")).status).toBe(200);
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/shop")).status).toBe(409);
      await fill(primary, String(again.json.token), "ann");
    }),
  timeoutMs,
);

test(
  "a creation that is sent again undoes neither a later name nor a later deletion",
  () =>
    withCluster(async (cluster) => {
      const { primary } = await withoutEdge(cluster);
      const create = async () => (await ask(primary, adminKey, "POST", "/api/environments", { id: "late" })).status;
      expect(await create()).toBe(503);
      for (const [method, body] of [["PATCH", { name: "Late" }], ["DELETE"]] as const) {
        expect((await ask(primary, adminKey, method, "/api/environments/late", body)).status).toBe(503);
        expect([method, await create()]).toEqual([method, 409]);
      }
      expect((await ask(primary, adminKey, "GET", "/api/environments")).json.environments?.at(-1)).toMatchObject({
        ...{ id: "late", name: "Late", state: "deleted" },
      });
    }),
  timeoutMs,
);

test(
  "a primary without other nodes reports lost data, and abandons them for good when an edge has acknowledged it",
  () =>
    withCluster(async (cluster) => {
      const first = await cluster.host("primary", "primary", ack);
      expect((await ask(first, adminKey, "POST", "/api/environments", { id: "lost" })).status).toBe(503);
      const listed = async (node: Host) => (await ask(node, adminKey, "GET", "/api/environments")).json.environments;
      expect(await listed(first)).toMatchObject([{}, { id: "lost", ready: true }]);
      await first.stop();
      rmSync(join(first.data, "environments", "lost"), { recursive: true });
      const primary = await cluster.host("primary", "primary", ack);
      const failure = expect.stringContaining("`ostiary env abandon lost`");
      await eventually(async () => expect(await listed(primary)).toMatchObject([{}, { id: "lost", failure }]));
      await eventually(async () =>
        expect((await ask(primary, adminKey, "GET", "/metrics")).text).toContain("ostiary_environments_missing 1\n"),
      );
      const abandon = async (): Promise<number> =>
        (await ask(primary, adminKey, "POST", "/api/environments/lost/abandon")).status;
      expect([await abandon(), await abandon()]).toEqual([503, 503]);
      await cluster.host("edge", "edge", { ...ack, primary: primary.url });
      await eventually(async () => expect(await abandon()).toBe(200));
      expect(await abandon()).toBe(404);
      await eventually(async () =>
        expect((await ask(primary, adminKey, "GET", "/metrics")).text).toContain("ostiary_environments_failed 0\n"),
      );
    }),
  timeoutMs,
);

test(
  "an edge that is promoted as soon as it answers becomes the primary of all environments",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      const flags = { primary: primary.url };
      const edge = await cluster.host("edge", "edge", flags);
      const key = await createEnvironment(primary, "shop");
      await fill(primary, key, "ann");
      await eventually(async () => expect(await mayRead(edge, key, "ann")).toBe(true));
      await Promise.all([edge.stop(), primary.stop()]);
      const successor = await cluster.host("edge", "edge", flags);
      const promoted = await ask(successor, adminKey, "POST", "/api/promote", {});
      expect([promoted.status, promoted.text]).toEqual([200, expect.not.stringContaining("reason")]);
      const environments = (await ask(successor, adminKey, "GET", "/api/environments")).json.environments;
      expect(environments).toMatchObject([{ role: "primary" }, { id: "shop", role: "primary" }]);
    }),
  timeoutMs,
);

test(
  "kill -9 right after the answers: a successor has all environments, and no deleted one",
  () =>
    inDirectory(async (place) => {
      const primary = await place.node({ environment: { OSTIARY_ACK: "edges:1" } });
      const environment = { OSTIARY_ACK: "edges:1", OSTIARY_PRIMARY: primary.url };
      const edge = await place.node({ role: "edge", environment });
      await Promise.all([primary.start(), edge.start()]);
      const deleted = await eventually(() => createEnvironment(primary, "deleted"));
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/deleted")).status).toBe(200);
      const key = await createEnvironment(primary, "created");
      await primary.kill();
      const promoted = await ask(edge, adminKey, "POST", "/api/promote", {});
      expect([promoted.status, promoted.text]).toEqual([200, expect.not.stringContaining("reason")]);
      expect(await mayRead(edge, deleted, "ann")).toBe(401);
      expect((await ask(edge, key, "GET", "/api/keys")).status).toBe(200);
      // Nobody acknowledges it now, but it is done.
      expect((await ask(edge, key, "POST", "/api/policy", { src: "actor User {}" })).status).toBe(503);
      expect((await ask(edge, key, "GET", "/api/policy")).text).toContain("actor User");
    }),
  timeoutMs,
);

test(
  "an environment whose data never arrived is reported, and is begun again or abandoned",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      const flags = { primary: primary.url };
      const edge = await cluster.host("edge", "edge", flags);
      const ids = ["shop", "cart", "kept"];
      const keys = new Map<string, string>();
      for (const id of ids) keys.set(id, await createEnvironment(primary, id));
      const listed = async (node: Host) => (await ask(node, adminKey, "GET", "/api/environments")).json.environments;
      await eventually(async () =>
        expect(await listed(edge)).toMatchObject([{}, ...ids.map((id) => ({ id, ready: true }))]),
      );
      await edge.stop();
      await primary.stop();
      for (const id of ["shop", "cart"]) rmSync(join(edge.data, "environments", id), { recursive: true });
      const successor = await cluster.host("edge", "edge", flags);
      await eventually(async () => expect(await listed(successor)).toMatchObject(Array(4).fill({ role: "edge" })));
      expect((await ask(successor, adminKey, "POST", "/api/promote", { force: true })).status).toBe(200);
      const failure = expect.stringContaining("`ostiary env create shop --again`");
      await eventually(async () =>
        expect(await listed(successor)).toMatchObject([
          {},
          { id: "shop", ready: false, failure },
          { id: "cart", ready: false, failure: expect.stringContaining("`ostiary env abandon cart`") },
          { id: "kept", ready: true, role: "primary" },
        ]),
      );
      const { text } = await ask(successor, adminKey, "GET", "/metrics");
      expect(text).toContain("ostiary_environments_missing 2\n");
      expect((await ask(successor, adminKey, "POST", "/api/environments", { id: "shop" })).json).toMatchObject({
        code: "conflict",
        message: failure,
      });
      for (const [path, body] of [
        ["/api/environments", { id: "kept", again: true }],
        ["/api/environments/kept/abandon", undefined],
      ] as const)
        expect((await ask(successor, adminKey, "POST", path, body)).status).toBe(409);
      const begun = await ask(successor, adminKey, "POST", "/api/environments", { id: "shop", again: true });
      expect([begun.status, begun.text]).toEqual([200, expect.any(String)]);
      await fill(successor, String(begun.json.token), "ann");
      expect((await ask(successor, adminKey, "POST", "/api/environments/cart/abandon")).status).toBe(200);
      await fill(successor, await createEnvironment(successor, "cart"), "ann");
      await eventually(async () =>
        expect((await ask(successor, adminKey, "GET", "/metrics")).text).toContain("ostiary_environments_missing 0\n"),
      );
      expect(await mayRead(successor, keys.get("shop") ?? "", "ann")).toBe(401);
    }),
  timeoutMs,
);
