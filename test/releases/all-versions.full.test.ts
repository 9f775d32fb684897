/**
 * Clusters of today's code and of every release: an old primary with nodes of today, a primary of today with old nodes,
 * and a node that goes back to its release. It takes minutes, so only `scripts/test --full` runs it.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { Organization, User } from "../../scripts/example/facts.ts";
import { readReleases } from "../../scripts/release-checks.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";
import { brokers, eventually, expectConverged, healthOf, scenarioTimeoutMs } from "../e2e/cluster.ts";
import { withMixedCluster, type MixedCluster, type Name } from "./mixed-cluster.ts";
import { programOf } from "./release-program.ts";

async function writeAt(cluster: MixedCluster, name: Name, user: string): Promise<void> {
  const oso = new Oso(cluster.node(name).url, cluster.adminKey);
  await oso.insert(["has_role", User(`written-${user}`), "member", Organization("acme")]);
}

for (const { version } of readReleases(projectRoot)) {
  const programs = async () => ({ old: await programOf(version), today: await builtBinary() });

  describe.each([...brokers])(`${version} with the %s broker`, (broker) => {
    test(
      `an old primary has an edge and a fallback of today`,
      async () => {
        const { old, today } = await programs();
        await withMixedCluster(broker, async (cluster) => {
          await cluster.start({ primary: old, "edge-a": today, "edge-b": old, fallback: today });
          for (const name of ["primary", "edge-a", "edge-b"] as const) {
            await writeAt(cluster, name, name);
            await cluster.followed("primary", `written-${name}`);
          }
          await expectConverged(cluster.node("primary"), cluster.others("primary"));
        });
      },
      scenarioTimeoutMs,
    );

    test(
      `a primary of today has old edges and an old fallback`,
      async () => {
        const { old, today } = await programs();
        await withMixedCluster(broker, async (cluster) => {
          await cluster.start({ primary: old, "edge-a": old, "edge-b": old, fallback: old });
          await cluster.replace("primary", today);
          const edges = [cluster.node("edge-a"), cluster.node("edge-b")];
          for (const name of ["primary", "edge-a", "edge-b"] as const) {
            await writeAt(cluster, name, name);
            await expectConverged(cluster.node("primary"), edges);
          }
          for (const edge of edges)
            await eventually(async () => (await healthOf(edge)).state === "LIVE", `${edge.name} is live`);
          // Snapshots have the format of the older release, too.
          await cluster.followed("primary", "written-edge-b");
        });
      },
      scenarioTimeoutMs,
    );
  });

  test(
    `an edge goes back to ${version} with its data`,
    async () => {
      const { old, today } = await programs();
      await withMixedCluster("embedded", async (cluster) => {
        await cluster.start({ primary: old, "edge-a": today, "edge-b": old, fallback: old });
        await cluster.node("edge-a").stop();
        const path = must(currentStorePath(cluster.node("edge-a").directory));
        cluster.launch("edge-a", old);
        await cluster.node("edge-a").ready();
        await writeAt(cluster, "edge-a", "back");
        await cluster.followed("primary", "written-back");
        expect(currentStorePath(join(cluster.node("edge-a").directory))).toBe(path);
      });
    },
    scenarioTimeoutMs,
  );
}
