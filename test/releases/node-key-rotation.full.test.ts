/**
 * The node key of a cluster of processes is replaced while clients write and read: every node is restarted at each of
 * three steps, beside an edge of the newest release, which knows one key. No read fails, and no acknowledged write is
 * lost. At the end the old key opens nothing but the backup of its time.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { randomHex } from "../../scripts/node-process.ts";
import { readReleases } from "../../scripts/release-checks.ts";
import { nodeKeyHashesIn, nodeKeyId } from "../../src/store/keys/node-keys.ts";
import { must } from "../../src/util/assert.ts";
import { withDirectory } from "../replication/cluster.ts";
import { Load, writtenAt } from "./load.ts";
import { names, withMixedCluster, type MixedCluster, type Name } from "./mixed-cluster.ts";
import { programOf } from "./release-program.ts";
import { eventually, expectConverged, scenarioTimeoutMs } from "../e2e/cluster.ts";

const { version } = must(readReleases(projectRoot).at(-1));

test(
  `the node key is replaced while clients write and read, beside an edge of ${version}`,
  async () => {
    const today = await builtBinary();
    const older = await programOf(version);
    await withMixedCluster("mosquitto", async (cluster) => {
      const [oldKey, newKey] = [cluster.nodeKey, randomHex(32)];
      // An edge of the release cannot begin with a snapshot of today.
      await cluster.start({ primary: older, "edge-a": older, "edge-b": older, fallback: older });
      const members = () => [cluster.node("edge-a"), cluster.node("edge-b"), cluster.node("primary")];
      const load = new Load(members, cluster.node("fallback"), cluster.adminKey);
      const settled = async (): Promise<void> => {
        const before = load.acknowledged.length;
        while (load.acknowledged.length < before + 10 && load.failures.length === 0) await Bun.sleep(20);
        expect(load.failures).toEqual([]);
        const last = must(load.acknowledged.at(-1));
        for (const name of names)
          await eventually(
            async () => (await writtenAt(cluster.node(name), cluster.adminKey)).has(last),
            `${name} has the last write`,
            60_000,
          );
      };
      const restart = async (name: Name, nodeKey: string): Promise<void> => {
        cluster.nodeKey = nodeKey;
        await cluster.replace(name, name === "edge-b" ? older : today);
      };
      const newer: readonly Name[] = ["fallback", "edge-a", "primary"];

      await settled();
      await withDirectory(async (directory) => {
        const backup = join(directory, "old.backup");
        const data = cluster.node("primary").directory;
        // The first step is an upgrade as well.
        for (const name of newer) await restart(name, `${oldKey} ${newKey}`);
        await run(today, oldKey, "backup", "--data", data, "--out", backup);
        await settled();
        await lists(cluster, [oldKey, newKey]);
        for (const name of newer) await restart(name, `${newKey} ${oldKey}`);
        await settled();
        // The edge of the release still has the old key, which the others count.
        expect(await usesOfSecondKey(cluster)).toBeGreaterThan(0);
        await restart("edge-b", newKey);
        await cluster.followed("primary", must(load.acknowledged.at(-1)));
        await lists(cluster, [newKey, oldKey]);
        const uses = await usesOfSecondKey(cluster);
        await settled();
        expect(await usesOfSecondKey(cluster)).toBe(uses);
        for (const name of newer) await restart(name, newKey);
        await settled();
        await load.stop();

        const restored = join(directory, "restored");
        const refused = await run(today, newKey, "restore", backup, "--data", restored);
        expect(refused.status).not.toBe(0);
        expect(refused.errors).toContain(backup);
        for (const key of [oldKey, newKey]) expect(refused.errors).toContain(idOf(key));
        expect(refused.errors).toContain("give the node key with which it was made");
        const given = await run(today, `${newKey} ${oldKey}`, "restore", backup, "--data", restored);
        expect([given.status, given.errors]).toEqual([0, expect.not.stringContaining("error")]);
        for (const key of [oldKey, newKey])
          expect([refused, given].some((each) => `${each.output}${each.errors}`.includes(key))).toBe(false);
      });

      expect(load.failures).toEqual([]);
      expect(load.reads).toBeGreaterThan(50);
      await cluster.followed("primary", must(load.acknowledged.at(-1)));
      await expectConverged(cluster.node("primary"), cluster.others("primary"));
      for (const name of names) {
        const found = await writtenAt(cluster.node(name), cluster.adminKey);
        expect([name, load.acknowledged.filter((user) => !found.has(user))]).toEqual([name, []]);
      }
      for (const name of ["primary", "edge-a", "edge-b"] as const) {
        const statuses = [oldKey, newKey].map(async (key) => {
          const headers = { Authorization: `Bearer ${key}` };
          return (await fetch(`${cluster.node(name).url}/replication/v1/head`, { headers })).status;
        });
        expect([name, ...(await Promise.all(statuses))]).toEqual([name, 401, 200]);
      }
      for (const name of names)
        expect([name, [oldKey, newKey].filter((key) => cluster.node(name).output.includes(key))]).toEqual([name, []]);
      expect(cluster.exits).toEqual([]);
    });
  },
  // Includes the time for building.
  4 * scenarioTimeoutMs,
);

function idOf(key: string): string {
  return nodeKeyId(nodeKeyHashesIn(key)[0]);
}

/** Runs a command with a node key. */
async function run(binary: string, nodeKey: string, ...words: string[]) {
  const child = Bun.spawn([binary, ...words], {
    env: { PATH: process.env["PATH"] ?? "", OSTIARY_NODE_KEY: nodeKey },
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { status, output, errors };
}

/** Waits until all nodes of today list these keys, the used one first. */
async function lists(cluster: MixedCluster, keys: readonly string[]): Promise<void> {
  const ids = nodeKeyHashesIn(keys.join(" ")).map(nodeKeyId);
  await eventually(
    async () => {
      const headers = { Authorization: `Bearer ${cluster.adminKey}` };
      const response = await fetch(`${cluster.node("primary").url}/api/nodes`, { headers });
      const { nodes } = (await response.json()) as {
        readonly nodes: readonly { readonly node: string; readonly node_keys?: readonly string[] }[];
      };
      const newer = nodes.filter(({ node }) => node !== "edge-b");
      return newer.length === 3 && newer.every((each) => Bun.deepEquals(each.node_keys, ids));
    },
    `all nodes list ${ids.join(", ")}`,
  );
}

/** As the primary counts them. */
async function usesOfSecondKey(cluster: MixedCluster): Promise<number> {
  const headers = { Authorization: `Bearer ${cluster.adminKey}` };
  const response = await fetch(`${cluster.node("primary").url}/metrics`, { headers });
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.stringContaining("ostiary_node_key_previous_uses_total")]);
  const values = [...text.matchAll(/^ostiary_node_key_previous_uses_total\{.*\} (\d+)$/gm)];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}
