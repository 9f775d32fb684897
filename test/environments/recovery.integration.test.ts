/**
 * Environments after a crash, with a damaged or lost registry, and while nodes start and stop: no data of an environment
 * are removed, one that fails does not disturb the others, and no valid key is refused as an unknown one.
 */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { registryEnvironment } from "../../src/environments/registry.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";
import { adminKey, type Cluster, eventually, withCluster } from "../replication/cluster.ts";
import { ask, createEnvironment, fill, mayRead } from "./host.ts";

const timeoutMs = 60_000;
const unknownKey = `e_nobody_${"0".repeat(12)}_${"0".repeat(48)}`;

const startPrimary = (cluster: Cluster, more = {}) => cluster.host("primary", "primary", more);
/** A primary that has stopped, with the environment `shop`, where Ann may read, and the key of that. */
async function stoppedShop(cluster: Cluster) {
  const primary = await startPrimary(cluster);
  const key = await createEnvironment(primary, "shop");
  await fill(primary, key, "ann");
  await primary.stop();
  return { primary, key };
}

const directoryOf = ({ data }: { readonly data: string }, ...path: string[]): string =>
  join(data, "environments", ...path);

/** The node has compared its environments with the registry. */
const hasCompared = (node: { readonly url: string }): Promise<void> =>
  eventually(async () => expect(await mayRead(node, unknownKey, "ann")).toBe(401));

/** As a bad disk may do it. */
function damage(directory: string): void {
  const path = must(currentStorePath(directory));
  for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
  writeFileSync(path, "no database");
}

test(
  "no environment is removed because an interrupted creation was registered, and the registry is lost later",
  () =>
    withCluster(async (cluster) => {
      const { key, ...shop } = await stoppedShop(cluster);
      let { primary } = shop;
      // As a crash leaves it between the entry in the registry and the removal of the file.
      writeFileSync(directoryOf(primary, "shop", "unregistered"), "1");
      primary = await startPrimary(cluster);
      await eventually(async () => expect(await mayRead(primary, key, "ann")).toBe(true));
      await eventually(() => expect(existsSync(directoryOf(primary, "shop", "unregistered"))).toBe(false));
      await primary.stop();
      rmSync(directoryOf(primary, registryEnvironment), { recursive: true });
      primary = await startPrimary(cluster);
      await hasCompared(primary);
      await createEnvironment(primary, "other");
      expect(currentStorePath(directoryOf(primary, "shop"))).toBeDefined();
    }),
  timeoutMs,
);

test(
  "an old registry, and then the newest one again: each environment has its own data",
  () =>
    withCluster(async (cluster) => {
      let primary = await startPrimary(cluster);
      const registry = directoryOf(primary, registryEnvironment);
      const saved = join(cluster.directory, "saved");
      const first = await createEnvironment(primary, "shop");
      await fill(primary, first, "ann");
      await primary.stop();
      cpSync(registry, join(saved, "first"), { recursive: true });
      rmSync(registry, { recursive: true });
      primary = await startPrimary(cluster);
      const second = await createEnvironment(primary, "shop");
      await fill(primary, second, "bob");
      await primary.stop();
      cpSync(registry, join(saved, "second"), { recursive: true });
      for (const [which, key, user] of [
        ["first", first, "ann"],
        ["second", second, "bob"],
        ["first", first, "ann"],
      ] as const) {
        rmSync(registry, { recursive: true });
        cpSync(join(saved, which), registry, { recursive: true });
        primary = await startPrimary(cluster);
        await eventually(async () => expect(await mayRead(primary, key, user)).toBe(true));
        await primary.stop();
      }
    }),
  timeoutMs,
);

test(
  "creations that ended at any step leave nothing that is visible, and their ids can be used",
  () =>
    withCluster(async (cluster) => {
      let primary = await startPrimary(cluster);
      await primary.stop();
      mkdirSync(directoryOf(primary, "empty"), { recursive: true });
      mkdirSync(directoryOf(primary, "begun"));
      writeFileSync(directoryOf(primary, "begun", "unregistered"), "1");
      mkdirSync(directoryOf(primary, "copied"));
      for (const name of ["unregistered", "created"]) writeFileSync(directoryOf(primary, "copied", name), "1");
      writeFileSync(directoryOf(primary, "copied", "new.db"), "unfinished");
      // The registry itself was to begin.
      mkdirSync(directoryOf(primary, registryEnvironment));
      writeFileSync(directoryOf(primary, registryEnvironment, "created"), "1");
      primary = await startPrimary(cluster, { peers: "http://127.0.0.1:9" });
      await hasCompared(primary);
      await eventually(() => expect(existsSync(directoryOf(primary, "begun"))).toBe(false));
      expect((await ask(primary, adminKey, "GET", "/api/environments")).json.environments).toHaveLength(1);
      for (const id of ["empty", "begun", "copied"]) {
        const key = await createEnvironment(primary, id);
        await fill(primary, key, "ann");
        expect(await mayRead(primary, key, "ann")).toBe(true);
      }
    }),
  timeoutMs,
);

test(
  "a creation takes over no data of a directory that the registry does not know",
  () =>
    withCluster(async (cluster) => {
      const { key: first, ...shop } = await stoppedShop(cluster);
      let { primary } = shop;
      rmSync(directoryOf(primary, registryEnvironment), { recursive: true });
      rmSync(directoryOf(primary, "shop", "created"));
      primary = await startPrimary(cluster);
      const second = await createEnvironment(primary, "shop");
      expect(await mayRead(primary, first, "ann")).toBe(401);
      expect(await mayRead(primary, second, "ann")).not.toBe(true);
      const directories = readdirSync(directoryOf(primary)).filter((name) => name.startsWith("shop."));
      expect(directories.map((name) => currentStorePath(directoryOf(primary, name)))).toEqual([expect.any(String)]);
    }),
  timeoutMs,
);

test(
  "an environment that cannot start is reported, is tried again, and does not disturb the others",
  () =>
    withCluster(async (cluster) => {
      let primary = await startPrimary(cluster);
      const keys = new Map<string, string>();
      for (const id of ["a", "b", "c"]) keys.set(id, await createEnvironment(primary, id));
      for (const key of keys.values()) await fill(primary, key, "ann");
      await primary.stop();
      damage(directoryOf(primary, "b"));
      writeFileSync(directoryOf(primary, "README"), "a file of somebody else");
      primary = await startPrimary(cluster);
      for (const id of ["a", "c"])
        await eventually(async () => expect(await mayRead(primary, must(keys.get(id)), "ann")).toBe(true));
      // No answer tells a stranger which environments there are, and which of them does not start.
      const wrongKey = unknownKey.replace("nobody", "a");
      for (const key of [must(keys.get("b")), wrongKey, unknownKey])
        expect(await mayRead(primary, key, "ann")).toBe(503);
      await eventually(async () =>
        expect((await ask(primary, adminKey, "GET", "/api/environments")).json.environments?.[2]).toMatchObject({
          id: "b",
          ready: false,
          failure: expect.stringContaining("damaged"),
        }),
      );
      const { text } = await ask(primary, adminKey, "GET", "/metrics");
      expect(text).toContain("ostiary_environments_failed 1\n");
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/b")).status).toBe(200);
      for (const key of [must(keys.get("b")), wrongKey, unknownKey])
        expect(await mayRead(primary, key, "ann")).toBe(401);
      await createEnvironment(primary, "d");
    }),
  timeoutMs,
);

test(
  "with a damaged registry, keys of hosted environments are refused with 503, and no data are removed",
  () =>
    withCluster(async (cluster) => {
      const { key, ...shop } = await stoppedShop(cluster);
      let { primary } = shop;
      writeFileSync(directoryOf(primary, "shop", "unregistered"), "1");
      const registry = directoryOf(primary, registryEnvironment);
      cpSync(registry, join(cluster.directory, "registry"), { recursive: true });
      damage(registry);
      primary = await startPrimary(cluster);
      await eventually(async () => expect(await mayRead(primary, key, "ann")).toBe(503));
      expect((await ask(primary, adminKey, "POST", "/api/environments", { id: "x" })).status).not.toBe(200);
      await eventually(async () => expect(await mayRead(primary, adminKey, "ann")).toBe(false));
      expect(await mayRead(primary, key, "ann")).toBe(503);
      await primary.stop();
      rmSync(registry, { recursive: true });
      renameSync(join(cluster.directory, "registry"), registry);
      primary = await startPrimary(cluster);
      await eventually(async () => expect(await mayRead(primary, key, "ann")).toBe(true));
    }),
  timeoutMs,
);

test(
  "while nodes start and stop, no valid key is refused as an unknown one",
  () =>
    withCluster(async (cluster) => {
      let primary = await startPrimary(cluster);
      const { url } = primary;
      const { port } = new URL(url);
      const key = await createEnvironment(primary, "shop");
      await fill(primary, key, "ann");
      const statuses = new Set<string | number | boolean>();
      let isAsking = true;
      const edges: { readonly url: string }[] = [];
      const asking = (async () => {
        while (isAsking) {
          for (const node of [primary, ...edges])
            statuses.add(await mayRead(node, key, "ann").catch(() => "not listening"));
          await setImmediate();
        }
      })();
      await primary.stop();
      // An edge that starts before the primary, whose registry it has never seen.
      const edge = await cluster.host("edge", "edge", { primary: url });
      edges.push(edge);
      primary = await startPrimary(cluster, { port });
      await eventually(async () => expect(await mayRead(edge, key, "ann")).toBe(true));
      await primary.stop();
      primary = await startPrimary(cluster, { port });
      await eventually(async () => expect(await mayRead(primary, key, "ann")).toBe(true));
      isAsking = false;
      await asking;
      expect([...statuses].filter((status) => ![true, 503, "not listening"].includes(status))).toEqual([]);
    }),
  timeoutMs,
);

test(
  "the registry of environments is not an environment of the API",
  () =>
    withCluster(async (cluster) => {
      const primary = await startPrimary(cluster);
      await createEnvironment(primary, "shop");
      const ofRegistry = unknownKey.replace("nobody", registryEnvironment);
      const [registry, unknown] = [ofRegistry, unknownKey].map((key) => ask(primary, key, "GET", "/api/environments"));
      expect((await must(registry)).text.replaceAll(/"[0-9a-f-]{36}"/g, "")).toBe(
        (await must(unknown)).text.replaceAll(/"[0-9a-f-]{36}"/g, ""),
      );
      const asPerson = { Authorization: "Bearer a.b.c", "Ostiary-Environment": registryEnvironment };
      const response = await fetch(`${primary.url}/api/environments`, { headers: asPerson });
      expect(response.status).toBe(401);
    }),
  timeoutMs,
);
