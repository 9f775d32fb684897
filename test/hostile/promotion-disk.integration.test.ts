/**
 * The promotion of an edge with a full or failing disk: it reports that, continues as an edge, and can be promoted when
 * there is space.
 */
import { describe, expect, test } from "bun:test";
import { rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { adminKey, eventually, insert, loadPolicy, post, withCluster, type Cluster } from "../replication/cluster.ts";
import { fillDisk, noMounts, withSmallDisk } from "./node.ts";

const quick = { "advanced.retryDelayMsMax": "200ms", "advanced.pollIntervalMs": "300ms" };

async function mayReadAt(url: string, user: string): Promise<unknown> {
  const question = { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" };
  const response = await post(url, "/api/authorize", question);
  return response.status === 200 ? await response.json() : { status: response.status, text: await response.text() };
}

async function readiness(url: string): Promise<{ readonly degraded?: string; readonly status: number }> {
  const response = await fetch(`${url}/readyz`);
  return { ...((await response.json()) as object), status: response.status };
}

async function healthAt(url: string): Promise<Readonly<Record<string, unknown>>> {
  return (await (await fetch(`${url}/healthcheck`)).json()) as Readonly<Record<string, unknown>>;
}

describe.skipIf(noMounts)("an edge that is promoted (skipped where nothing may be mounted)", () => {
  test(
    "on a full disk continues as an edge, and becomes the primary when there is space",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        await insert(primary.node, "ann");
        await withSmallDisk(join(cluster.directory, "disk"), "24m", async ({ path }) => {
          const edge = await cluster.promotable("edge", { primary: primary.url, data: join(path, "edge"), adminKey });
          await eventually(async () =>
            expect(await healthAt(edge.url)).toMatchObject({ offset: primary.node.health().offset }),
          );
          await primary.stop();
          const free = fillDisk(path);
          const refused = await post(edge.url, "/api/promote", {});
          const reason = await refused.text();
          expect([refused.status, reason]).toEqual([503, expect.stringContaining("the disk of this node is full")]);
          expect(reason).not.toContain(path);
          expect(await mayReadAt(edge.url, "ann")).toEqual({ allowed: true });
          free();
          await eventually(async () => expect((await post(edge.url, "/api/promote", {})).status).toBe(200));
          expect(await mayReadAt(edge.url, "ann")).toEqual({ allowed: true });
          await edge.stop();
        });
      }, quick),
    60_000,
  );

  test(
    "below the reserve becomes the primary, also after a restart",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        await insert(primary.node, "ann");
        await withSmallDisk(join(cluster.directory, "disk"), "40m", async ({ path }) => {
          const flags = {
            primary: primary.url,
            data: join(path, "edge"),
            adminKey,
            "advanced.diskReserveBytes": "8MiB",
          };
          const edge = await cluster.promotable("edge", flags);
          await eventually(async () =>
            expect(await healthAt(edge.url)).toMatchObject({ offset: primary.node.health().offset }),
          );
          await primary.stop();
          fillDisk(path, 6 * 2 ** 20);
          const promoted = await post(edge.url, "/api/promote", {});
          expect([promoted.status, await promoted.json()]).toEqual([200, expect.anything()]);
          await edge.stop();
          const again = await cluster.promotable("edge", flags);
          expect(await mayReadAt(again.url, "ann")).toEqual({ allowed: true });
          expect(await healthAt(again.url)).toMatchObject({ role: "primary" });
          rmSync(join(path, "filler"));
          await again.stop();
        });
      }, quick),
    60_000,
  );
});

/** An edge whose primary is gone. */
async function edgeWithoutPrimary(cluster: Cluster, flags: Readonly<Record<string, string>> = {}) {
  const primary = await cluster.primary();
  await loadPolicy(primary.node);
  await insert(primary.node, "ann");
  const edge = await cluster.promotable("edge", { primary: primary.url, adminKey, ...flags });
  await eventually(async () =>
    expect(await healthAt(edge.url)).toMatchObject({ offset: primary.node.health().offset }),
  );
  await primary.stop();
  return edge;
}

test("an edge that has begun an epoch is the primary, although its disk cannot store that", () =>
  withCluster(async (cluster) => {
    const edge = await edgeWithoutPrimary(cluster);
    const note = join(edge.data, "position.new");
    symlinkSync("/dev/full", note);
    const promoted = await post(edge.url, "/api/promote", {});
    expect([promoted.status, await promoted.json()]).toEqual([200, expect.anything()]);
    expect(await healthAt(edge.url)).toMatchObject({ role: "primary", state: "PRIMARY" });
    const { status, degraded } = await readiness(edge.url);
    expect([status, degraded]).toEqual([503, expect.stringContaining("the position cannot be recorded")]);
    rmSync(note);
    await eventually(async () => expect((await readiness(edge.url)).status).toBe(200));
  }, quick));

test("a node that can become neither the primary nor an edge reports that, and is an edge as soon as it can", () =>
  withCluster(async (cluster) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { readonly port: number };
    const edge = await edgeWithoutPrimary(cluster, { mqttPort: String(port) });
    const note = join(edge.data, "role.new");
    symlinkSync("/dev/full", note);
    expect((await post(edge.url, "/api/promote", {})).status).not.toBe(200);
    expect(await mayReadAt(edge.url, "ann")).toMatchObject({ status: 503 });
    expect((await readiness(edge.url)).status).toBe(503);
    rmSync(note);
    await eventually(async () => expect(await mayReadAt(edge.url, "ann")).toEqual({ allowed: true }));
    await new Promise((resolve) => taken.close(resolve));
    expect((await post(edge.url, "/api/promote", {})).status).toBe(200);
  }, quick));
