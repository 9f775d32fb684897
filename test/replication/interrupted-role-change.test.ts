/** What can go wrong while the role of a node changes: its files are gone, it is stopped, or its clock is set. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { freePort } from "../../scripts/node-process.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { type ClusterSystem, realClusterSystem } from "../../src/roles/cluster-system.ts";
import { hasPromotionNote } from "../../src/replication/role-notes.ts";
import { databaseFiles } from "../../src/store/snapshot/snapshot.ts";
import { must } from "../../src/util/assert.ts";
import { startKubernetes } from "./lease/kubernetes-server.ts";
import { type Cluster, eventually, policy, post, reader, refusal, SystemWithClock, withCluster } from "./cluster.ts";
import { mayReadAt, positionAt, quick, writeTo } from "./three-nodes.ts";

async function twoNodes(cluster: Cluster, system?: ClusterSystem) {
  const [portA, portB] = [await freePort(), await freePort()].map(String);
  const [urlA, urlB] = [`http://127.0.0.1:${portA}`, `http://127.0.0.1:${portB}`];
  const primary = await cluster.member({ port: portA ?? "", peers: urlB, ...quick });
  expect((await post(primary.url, "/api/policy", { src: policy })).status).toBe(200);
  expect((await writeTo(urlA, reader("ann"))).status).toBe(200);
  const edge = await cluster.promotable("edge-b", { primary: urlA, port: portB ?? "", ...quick }, system);
  await eventually(async () => expect((await positionAt(urlB)).offset).toBe((await positionAt(urlA)).offset));
  return { primary, edge };
}

function removeDatabase({ data }: { readonly data: string }): void {
  for (const file of databaseFiles(must(currentStorePath(data)))) rmSync(file, { force: true });
}

test("an edge whose database was deleted answers from the snapshot that it fetches", () =>
  withCluster(async (cluster) => {
    const { primary, edge } = await twoNodes(cluster);
    removeDatabase(edge);
    await eventually(() => expect(currentStorePath(edge.data)).toBeDefined());
    await eventually(async () => expect((await writeTo(primary.url, reader("bob"))).status).toBe(200));
    await eventually(
      async () => expect(await (await mayReadAt(edge.url, "bob")).json()).toEqual({ allowed: true }),
      15_000,
    );
  }));

test("a primary whose database was deleted and that was replaced continues as an edge with a fresh one", () =>
  withCluster(async (cluster) => {
    const { primary, edge } = await twoNodes(cluster);
    removeDatabase(primary);
    expect((await post(edge.url, "/api/promote", { force: true })).status).toBe(200);
    await eventually(async () => expect((await writeTo(edge.url, reader("bob"))).status).toBe(200));
    await eventually(async () => expect(await positionAt(primary.url)).toMatchObject({ role: "edge" }), 15_000);
    await eventually(
      async () => expect(await (await mayReadAt(primary.url, "bob")).json()).toEqual({ allowed: true }),
      15_000,
    );
  }));

/** An edge whose promotion is under way when it is stopped. `proceed` says whether the primary can start. */
async function stopWhilePromoting(cluster: Cluster, canStart: boolean) {
  const opening = Promise.withResolvers<void>();
  const proceed = Promise.withResolvers<void>();
  const { edge } = await twoNodes(cluster, {
    ...realClusterSystem,
    async openBroker(options) {
      opening.resolve();
      await proceed.promise;
      if (!canStart) throw new Error("the broker cannot be opened");
      return realClusterSystem.openBroker(options);
    },
  });
  const promoted = must(edge.node().promote)({ force: true });
  promoted.catch(() => {});
  await opening.promise;
  const stopped = edge.stop();
  proceed.resolve();
  return { edge, promoted, stopped };
}

test("a node can be stopped during a promotion that fails", () =>
  withCluster(async (cluster) => {
    const { promoted, stopped } = await stopWhilePromoting(cluster, false);
    expect((await refusal(promoted)).message).toBe("the broker cannot be opened");
    await stopped;
  }));

test("a node that is stopped during its promotion is the primary after a restart", () =>
  withCluster(async (cluster) => {
    const { edge, promoted, stopped } = await stopWhilePromoting(cluster, true);
    expect(await promoted).toMatchObject({ offset: expect.any(Number) as number });
    await stopped;
    expect(hasPromotionNote(edge.data)).toBe(true);
  }));

test(
  "a candidate whose clock is set after it has the votes becomes the primary when its lease is confirmed",
  () =>
    withCluster(async (cluster) => {
      const kubernetes = startKubernetes("token");
      try {
        const [portA = "", portB = ""] = [await freePort(), await freePort()].map(String);
        const [urlA, urlB] = [`http://127.0.0.1:${portA}`, `http://127.0.0.1:${portB}`];
        const failover = `kubernetes+http://127.0.0.1:${kubernetes.port}/default/lease`;
        const flags = { ...quick, failover, failoverPassword: "token", failoverTtl: "6s", ack: "edges:1" };
        await cluster.member({ ...flags, port: portA, peers: urlB });
        const system = new SystemWithClock();
        const { openBroker } = realClusterSystem;
        const candidate = Object.assign(system, {
          // The last part of a primary that starts, before it begins its term.
          async openBroker(options: Parameters<typeof openBroker>[0]) {
            system.aheadMs -= 3_600_000;
            return openBroker(options);
          },
        });
        const edge = await cluster.promotable("edge-b", { ...flags, primary: urlA, port: portB }, candidate);
        await eventually(async () => expect((await post(urlA, "/api/policy", { src: policy })).status).toBe(200));
        expect((await writeTo(urlA, reader("ann"))).status).toBe(200);
        await eventually(async () => expect((await positionAt(urlB)).offset).toBe((await positionAt(urlA)).offset));

        await must(edge.node().promote)({ force: false, graceful: true });
        expect(system.aheadMs).toBeLessThan(0);
        await eventually(async () => expect((await writeTo(urlB, reader("bob"))).status).toBe(200), 10_000);
        await eventually(async () => expect(await (await mayReadAt(urlA, "bob")).json()).toEqual({ allowed: true }));
      } finally {
        await kubernetes.stop();
      }
    }),
  40_000,
);
