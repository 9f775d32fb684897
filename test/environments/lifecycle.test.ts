/** Environments on a cluster: creation, names, deletion and restoration, restarts, and what edges follow. */
import { expect, spyOn, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { adminKey, eventually, SystemWithClock, withCluster } from "../replication/cluster.ts";
import { EnvironmentDirectories } from "../../src/environments/directories.ts";
import { ObservedDeletions } from "../../src/environments/observed-deletions.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "./host.ts";

const timeoutMs = 60_000;

test(
  "environments have their own policies, facts and keys, on a primary, an edge and a fallback, also after restarts",
  () =>
    withCluster(async (cluster) => {
      let primary = await cluster.host("primary", "primary");
      const url = primary.url;
      await fill(primary, adminKey, "ann");
      const key = await createEnvironment(primary, "team-a", { name: "Team A" });
      await fill(primary, key, "bob");
      expect(await mayRead(primary, adminKey, "ann")).toBe(true);
      expect(await mayRead(primary, adminKey, "bob")).toBe(false);
      expect(await mayRead(primary, key, "bob")).toBe(true);
      expect(await mayRead(primary, key, "ann")).toBe(false);

      const edge = await cluster.host("edge", "edge", { primary: url });
      const fallback = await cluster.host("fallback", "fallback", { primary: url, refresh: "1s" });
      for (const node of [edge, fallback]) {
        await eventually(async () => expect(await mayRead(node, key, "bob")).toBe(true));
        expect(await mayRead(node, key, "ann")).toBe(false);
        expect(await mayRead(node, adminKey, "ann")).toBe(true);
        expect(await mayRead(node, adminKey, "bob")).toBe(false);
      }
      const written = await ask(edge, key, "POST", "/api/batch", [{ inserts: [isReader("cid")] }]);
      expect(written.status).toBe(200);
      expect(await mayRead(primary, key, "cid")).toBe(true);
      expect(await mayRead(edge, key, "cid")).toBe(true);
      const { environments } = (await ask(edge, adminKey, "GET", "/api/environments")).json;
      expect(environments).toMatchObject([
        { id: "test", is_default: true, state: "active", role: "edge", ready: true },
        { id: "team-a", name: "Team A", state: "active", role: "edge", ready: true },
      ]);

      const port = new URL(url).port;
      await primary.stop();
      expect(await mayRead(edge, key, "bob")).toBe(true);
      primary = await cluster.host("primary", "primary", { port });
      await eventually(async () => expect(await mayRead(primary, key, "cid")).toBe(true));
      expect(await mayRead(primary, key, "ann")).toBe(false);
    }),
  timeoutMs,
);

test(
  "an environment is renamed, deleted, restored, and deleted for good once the time has passed, whatever the date is",
  () =>
    withCluster(async (cluster) => {
      const system = new SystemWithClock();
      const primary = await cluster.host("primary", "primary", { "advanced.environmentGrace": "1m" }, system);
      const change = async (method: string, path: string, body?: object): Promise<number> =>
        (await ask(primary, adminKey, method, `/api/environments/${path}`, body)).status;
      const key = await createEnvironment(primary, "shop");
      await createEnvironment(primary, "cart");
      await fill(primary, key, "ann");
      expect(await change("PATCH", "shop", { name: "Shop 2" })).toBe(200);
      expect((await ask(primary, adminKey, "POST", "/api/environments", { id: "shop" })).status).toBe(409);
      for (const id of ["shop", "cart"]) expect(await change("DELETE", id)).toBe(200);
      expect(await mayRead(primary, key, "ann")).toBe(401);
      system.aheadMs = 365 * 86_400_000;
      // Each restoration compares what there is with the list of environments.
      for (const id of ["cart", "shop"]) expect([id, await change("POST", `${id}/restore`)]).toEqual([id, 200]);
      expect(await mayRead(primary, key, "ann")).toBe(true);
      expect(await change("DELETE", "shop")).toBe(200);
      const directory = join(primary.data, "environments", "shop");
      await eventually(() => {
        system.passedMs += 30_000;
        expect(existsSync(directory)).toBe(false);
      });
      expect(await change("POST", "shop/restore")).toBe(404);
      const other = await createEnvironment(primary, "shop");
      expect(await mayRead(primary, key, "ann")).toBe(401);
      expect(await mayRead(primary, other, "ann")).not.toBe(true);
    }),
  timeoutMs,
);

test(
  "directories are looked at every five seconds while the list of environments stays the same",
  () =>
    withCluster(async (cluster) => {
      const comparisons = spyOn(ObservedDeletions.prototype, "observe");
      const sweeps = spyOn(EnvironmentDirectories.prototype, "sweep");
      try {
        const primary = await cluster.host("primary", "primary");
        await createEnvironment(primary, "shop");
        const settled = comparisons.mock.calls.length + 2;
        await eventually(() => expect(comparisons.mock.calls.length).toBeGreaterThanOrEqual(settled));
        const [before, startMs] = [sweeps.mock.calls.length, performance.now()];
        await eventually(() => expect(comparisons.mock.calls.length).toBeGreaterThanOrEqual(settled + 3));
        expect(sweeps.mock.calls.length - before).toBeLessThanOrEqual(1 + (performance.now() - startMs) / 5000);
      } finally {
        comparisons.mockRestore();
        sweeps.mockRestore();
      }
    }),
  timeoutMs,
);
