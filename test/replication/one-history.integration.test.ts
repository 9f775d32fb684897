/**
 * There is only one history, even with old directories, wrong clocks and several primaries: no position is assigned
 * twice, and only one primary writes.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import { restore } from "../../src/replication/backup/restore.ts";
import { askKnownTerm } from "../../src/replication/failover/known-history.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { firstTerm, isSameFailover, nextStartTerm, nextFailoverTerm } from "../../src/store/log/terms.ts";
import {
  adminKey,
  eventually,
  nodeKey,
  post,
  reader,
  duplicateOf,
  withCluster,
  policy,
  type Cluster,
} from "./cluster.ts";
import { positionAt, quick } from "./three-nodes.ts";
import { mayReadWith, saved, written } from "./written.ts";

const timeoutMs = 120_000;

const member = (cluster: Cluster, flags: Record<string, string>) => cluster.member({ ...quick, ...flags });

async function threeMembers(cluster: Cluster, flags: Record<string, string> = {}) {
  const ports = [await freePort(), await freePort(), await freePort()].map(String) as [string, string, string];
  const urls = ports.map((port) => `http://127.0.0.1:${port}`) as [string, string, string];
  const ofPrimary = { port: ports[0], peers: `${urls[1]},${urls[2]}`, ...flags };
  const a = await member(cluster, ofPrimary);
  const follow = { primary: urls[0], ...quick, ...flags };
  const ofB = { ...follow, port: ports[1], peers: urls[2] };
  const b = await cluster.promotable("edge-b", ofB);
  const c = await cluster.promotable("edge-c", { ...follow, port: ports[2], peers: urls[1] });
  await eventually(async () => {
    expect((await post(a.url, "/api/policy", { src: policy })).ok).toBe(true);
    const { offset } = await positionAt(a.url);
    for (const { url } of [b, c]) expect(await positionAt(url)).toMatchObject({ offset, state: "LIVE" });
  });
  return { a, b, c, ofPrimary, ofB };
}

describe("terms", () => {
  test(
    "do not depend on a clock: a restore comes after a promotion by a clock that is a day ahead",
    () =>
      withCluster(async (cluster) => {
        const { a, b, c, ofPrimary, ofB } = await threeMembers(cluster);
        const dayMs = 86_400_000;
        const clock = { ...realClusterSystem.clock, wallMs: () => Date.now() + dayMs };
        await written(a.url, "ann");
        for (const { url } of [b, c])
          await eventually(async () => expect((await mayReadWith(url, "ann")).allowed).toBe(true));
        await a.stop();
        await b.stop();
        const ahead = await cluster.promotable("edge-b", ofB, { ...realClusterSystem, clock });
        expect((await post(ahead.url, "/api/promote", {})).status).toBe(200);
        const { term } = await positionAt(ahead.url);
        expect(term).toBe(2 * firstTerm);
        const config = cluster.config("primary", "restored", { peers: `${ahead.url},${c.url},http://127.0.0.1:9` });
        const known = await askKnownTerm(config, realClusterSystem);
        expect(known).toEqual({ term, silent: ["http://127.0.0.1:9"] });

        const file = join(cluster.directory, "taken.backup");
        const backup = await fetch(`${ahead.url}/api/backup`, { headers: { Authorization: `Bearer ${adminKey}` } });
        await Bun.write(file, await backup.bytes());
        await written(ahead.url, "too-late");
        const { limits, data } = config;
        await restore({
          ...{ file, directory: data, knownTerm: known.term, limits, nodeKeyHashes: [hashKey(nodeKey)] },
          ...{ target: undefined, force: false, dryRun: false, allowUnauthenticated: false },
          onStep() {},
          warn(problem) {
            throw new Error(problem);
          },
        });
        const restored = await member(cluster, { ...ofPrimary, data });
        const { epoch, ...position } = await positionAt(restored.url);
        expect(position).toMatchObject({ role: "primary", state: "PRIMARY", term: nextStartTerm(3 * firstTerm) });
        for (const { url } of [ahead, c])
          await eventually(async () => expect(await positionAt(url)).toMatchObject({ role: "edge", epoch }));
        for (const user of ["ann", "too-late"])
          expect([user, (await mayReadWith(restored.url, user)).allowed]).toEqual([user, user === "ann"]);
      }),
    timeoutMs,
  );
});

describe("a primary whose whole directory was rolled back", () => {
  test(
    "fetches the missing events from its peers before it writes",
    () =>
      withCluster(async (cluster) => {
        const { a, b, c, ofPrimary } = await threeMembers(cluster, { ack: "edges:1" });
        await a.stop();
        const rollBack = saved(a.data);
        const second = await member(cluster, ofPrimary);
        const token = await written(second.url, "bob");
        await eventually(async () =>
          expect(await mayReadWith(c.url, "bob", token)).toEqual({ status: 200, allowed: true }),
        );
        await second.stop();
        rollBack();
        const third = await member(cluster, ofPrimary);
        await eventually(async () => expect(await positionAt(third.url)).toMatchObject({ role: "primary" }));
        for (const { url } of [third, b, c]) {
          await eventually(async () =>
            expect(await mayReadWith(url, "bob", token)).toEqual({ status: 200, allowed: true }),
          );
        }
        await written(third.url, "eve");
      }),
    timeoutMs,
  );

  test(
    "does not depose its successor, although it starts while no node can be asked, and loses what it answered with 503",
    () =>
      withCluster(async (cluster) => {
        const { a, b, c, ofPrimary } = await threeMembers(cluster, {
          ack: "edges:1",
          "advanced.ackTimeoutMs": "500ms",
        });
        await a.stop();
        expect((await post(b.url, "/api/promote", {})).status).toBe(200);
        const tokens: string[] = [];
        for (let count = 0; count < 50; count++) tokens.push(await written(b.url, `user-${count}`));
        const { epoch } = await positionAt(b.url);
        // There are no listeners at the addresses of its peers.
        const silent = `http://127.0.0.1:${await freePort()}`;
        const alone = await member(cluster, { ...ofPrimary, peers: silent });
        expect(await positionAt(alone.url)).toMatchObject({ role: "primary", state: "PRIMARY" });
        expect((await post(alone.url, "/api/batch", [{ inserts: [reader("split")] }])).status).toBe(503);
        await alone.stop();
        const back = await member(cluster, ofPrimary);
        await eventually(async () => expect(await positionAt(back.url)).toMatchObject({ role: "edge", epoch }));
        expect(await positionAt(b.url)).toMatchObject({ role: "primary", state: "PRIMARY", epoch });
        for (const [index, token] of tokens.entries())
          expect(await mayReadWith(c.url, `user-${index}`, token)).toEqual({ status: 200, allowed: true });
        await eventually(async () =>
          expect(await mayReadWith(back.url, "split")).toEqual({ status: 200, allowed: false }),
        );
      }),
    timeoutMs,
  );
});

describe("a primary that is replaced", () => {
  test(
    "becomes an edge of its successor without a restart, and forwards writes to it",
    () =>
      withCluster(async (cluster) => {
        const { a, b, c } = await threeMembers(cluster, { ack: "edges:1", "advanced.ackTimeoutMs": "300ms" });
        expect((await post(b.url, "/api/promote", { force: true })).status).toBe(200);
        await eventually(async () => expect(await positionAt(a.url)).toMatchObject({ role: "edge", state: "LIVE" }));
        const token = await written(a.url, "through-the-former");
        for (const { url } of [a, b, c])
          await eventually(async () =>
            expect(await mayReadWith(url, "through-the-former", token)).toEqual({ status: 200, allowed: true }),
          );
      }),
    timeoutMs,
  );

  test(
    "hands over gracefully: no acknowledged write is lost, and no write fails that must not be sent again",
    () =>
      withCluster(async (cluster) => {
        const { a, b, c } = await threeMembers(cluster);
        const acknowledged: string[] = [];
        const failed: number[] = [];
        let isOver = false;
        const writing = (async () => {
          for (let count = 0; !isOver; count++) {
            const user = `user-${count}`;
            const answer = await post(c.url, "/api/batch", [{ inserts: [reader(user)] }]);
            if (answer.status === 200) acknowledged.push(user);
            else failed.push(answer.status);
          }
        })();
        await eventually(() => expect(acknowledged.length).toBeGreaterThan(5));
        const promoted = await post(b.url, "/api/promote", { graceful: true });
        expect([promoted.status, await promoted.text()]).toEqual([200, expect.anything()]);
        const before = acknowledged.length;
        await eventually(() => expect(acknowledged.length).toBeGreaterThan(before + 5));
        isOver = true;
        await writing;
        expect(failed.filter((status) => status !== 503)).toEqual([]);
        await eventually(async () => expect(await positionAt(a.url)).toMatchObject({ role: "edge", state: "LIVE" }));
        expect(await positionAt(b.url)).toMatchObject({ role: "primary", state: "PRIMARY" });
        for (const user of acknowledged) expect([user, (await mayReadWith(b.url, user)).allowed]).toEqual([user, true]);
      }),
    timeoutMs,
  );

  test(
    "does not make an edge fresh",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary({ ...quick, "advanced.readyAgeMsMax": "1s" });
        const edge = await cluster.edge("edge", primary, { ...quick, "advanced.readyAgeMsMax": "1s" });
        await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
        const { epoch, offset } = primary.node.health();
        const successor = {
          epoch: "f".repeat(16),
          term: nextFailoverTerm(firstTerm),
          after: offset,
          hash: "0".repeat(16),
        };
        const query = new URLSearchParams(
          Object.entries(successor).map(([name, value]): [string, string] => [name, String(value)]),
        );
        await fetch(`${primary.url}/replication/v1/head?${query}`, { headers: { Authorization: `Bearer ${nodeKey}` } });
        expect(primary.node.health()).toMatchObject({ state: "FENCED", epoch });
        await eventually(async () => expect((await fetch(`${edge.url}/readyz`)).status).toBe(503));
        const latest = await fetch(`${edge.url}/api/facts?predicate=has_role`, {
          headers: { Authorization: `Bearer ${adminKey}`, "Ostiary-Consistency": "latest" },
        });
        expect(latest.status).toBe(503);
      }),
    timeoutMs,
  );
});

describe("a second process on a copy of a primary's directory", () => {
  test(
    "starts only after the first process has ended",
    () =>
      withCluster(async (cluster) => {
        const { a, ofPrimary } = await threeMembers(cluster);
        const data = duplicateOf(a, join(cluster.directory, "duplicate"));
        const elsewhere = { ...ofPrimary, port: String(await freePort()), data };
        const refused = await member(cluster, elsewhere).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(String(refused)).toContain("is the primary of the same data");
        const { epoch, state } = await positionAt(a.url);
        expect(state).toBe("PRIMARY");
        await written(a.url, "ann");
        // As when a volume moves to another machine.
        await a.stop();
        const moved = await member(cluster, { ...elsewhere, data: duplicateOf(a, join(cluster.directory, "moved")) });
        await written(moved.url, "bob");
        expect((await mayReadWith(moved.url, "ann")).allowed).toBe(true);
        const { term } = await positionAt(moved.url);
        expect((await positionAt(moved.url)).epoch).not.toBe(epoch);
        expect(isSameFailover(term, firstTerm)).toBe(true);
      }),
    timeoutMs,
  );
});
