/** Environments when nodes change their roles: promotions with votes, and the former primary that comes back. */
import { expect, test } from "bun:test";
import { adminKey, type Cluster, eventually, withCluster } from "../replication/cluster.ts";
import { freePort } from "../../scripts/node-process.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "./host.ts";

const timeoutMs = 90_000;

type Host = Awaited<ReturnType<Cluster["host"]>>;

const write = async (node: Host, key: string, user: string): Promise<number> =>
  (await ask(node, key, "POST", "/api/batch", [{ inserts: [isReader(user)] }])).status;

const environmentsOf = async (node: Host) =>
  (await ask(node, adminKey, "GET", "/api/environments")).json.environments as readonly Record<string, unknown>[];

const isAll = async (node: Host, role: string, count: number): Promise<void> =>
  eventually(async () => {
    const environments = await environmentsOf(node);
    expect(environments.map((each) => [each["role"], each["ready"]])).toEqual(Array(count).fill([role, true]));
  }, 60_000);

test(
  "nodes vote in all environments, and a former primary becomes an edge of the successor in all of them",
  () =>
    withCluster(async (cluster) => {
      const ports = [await freePort(), await freePort(), await freePort()].map(String);
      const start = (role: "primary" | "edge", index: number): Promise<Host> =>
        cluster.host(role, `node-${index}`, {
          port: ports[index] ?? "",
          ack: "edges:1",
          peers: ports
            .filter((_, other) => other !== index)
            .map((port) => `http://127.0.0.1:${port}`)
            .join(","),
          ...(role === "edge" && { primary: `http://127.0.0.1:${ports[0]}` }),
        });
      let first = await start("primary", 0);
      const [second, third] = [await start("edge", 1), await start("edge", 2)];
      const key = await createEnvironment(first, "team-a");
      await eventually(async () => {
        expect((await ask(first, key, "POST", "/api/policy", { src: "actor User {}" })).status).not.toBe(503);
      });
      await fill(first, key, "ann");
      for (const node of [second, third])
        await eventually(async () => expect(await mayRead(node, key, "ann")).toBe(true));

      const alive = await ask(second, adminKey, "GET", "/api/promote");
      expect(alive.json.environments).toContainEqual(
        expect.objectContaining({ id: "team-a", possible: false, reasons: [expect.stringContaining("is alive")] }),
      );
      await first.stop();
      await eventually(async () => {
        const preview = await ask(second, adminKey, "GET", "/api/promote");
        const environments = preview.json.environments as readonly Record<string, unknown>[];
        // The environment, and the list of environments, which has a history of its own.
        expect(environments.map((each) => [each["possible"], each["lost_events"]])).toEqual(Array(2).fill([true, 0]));
      });
      const promoted = await ask(second, adminKey, "POST", "/api/promote", {});
      expect([promoted.status, promoted.text]).toEqual([200, expect.not.stringContaining("reason")]);
      await isAll(second, "primary", 2);
      await eventually(async () => expect(await write(second, key, "bob")).toBe(200));
      const other = await createEnvironment(second, "team-b");
      await eventually(async () => expect((await ask(second, other, "GET", "/api/keys")).status).toBe(200));

      first = await start("primary", 0);
      await isAll(first, "edge", 3);
      await eventually(async () => expect(await mayRead(first, key, "bob")).toBe(true));
      await eventually(async () => expect(await write(first, key, "cid")).toBe(200));
      await eventually(async () => expect(await mayRead(third, key, "cid")).toBe(true));

      const graceful = await ask(first, adminKey, "POST", "/api/promote", { graceful: true });
      expect([graceful.status, graceful.text]).toEqual([200, expect.not.stringContaining("reason")]);
      await isAll(first, "primary", 3);
      for (const node of [second, third]) await isAll(node, "edge", 3);
      await eventually(async () => expect(await write(second, key, "dan")).toBe(200));
      await createEnvironment(first, "team-c");

      // All of them end, and start in another order.
      for (const node of [first, second, third]) await node.stop();
      const again = [await start("edge", 2), await start("edge", 1), await start("primary", 0)] as const;
      await isAll(again[2], "primary", 4);
      for (const node of again) await eventually(async () => expect(await mayRead(node, key, "dan")).toBe(true));
      await eventually(async () => expect(await write(again[0], key, "eve")).toBe(200));
    }),
  timeoutMs,
);
