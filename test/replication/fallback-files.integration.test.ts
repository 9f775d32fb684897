/** The databases of a fallback that fetches a snapshot each second, and of one that follows. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { converged, eventually, insert, loadPolicy, withCluster } from "./cluster.ts";

test("a fallback removes the databases that it has replaced, even if it fetches one each second", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const fallback = await cluster.fallback(primary);
    for (let refresh = 0; refresh < 8; refresh++) {
      await insert(primary.node, `user-${refresh}`);
      await converged(fallback.node, primary.node);
    }
    // Databases of the last two seconds may still be read.
    const copies = readdirSync(fallback.data).filter((name) => /^store-\d+\.db$/.test(name));
    expect(copies.length).toBeLessThan(6);
  }));

test("a fallback that follows is ready as soon as it has the first policy", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const fallback = await cluster.fallback(primary, { follow: "true" });
    await converged(fallback.node, primary.node);
    const readyStatus = async (): Promise<number> => (await fetch(`${fallback.url}/readyz`)).status;
    expect([await readyStatus(), fallback.node.health().degraded]).toEqual([
      503,
      expect.stringContaining("before the first policy"),
    ]);
    await loadPolicy(primary.node);
    await eventually(async () => expect(await readyStatus()).toBe(200));
  }));
