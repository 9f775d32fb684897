/**
 * A cluster of the newest release is upgraded to today's code, one node after the other, while clients write and read:
 * first the fallback and the edges, then an edge becomes the primary, then the old primary is replaced. Meanwhile the
 * old primary has edges of today, and a primary of today has an old edge. No acknowledged write is lost, and no read
 * fails. `scripts/test releases-all` has more, for every release.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { builtBinary } from "../../scripts/built-binary.ts";
import { must } from "../../src/util/assert.ts";
import { brokers, expectConverged, scenarioTimeoutMs } from "../e2e/cluster.ts";
import { Load, writtenAt } from "./load.ts";
import { names, withMixedCluster } from "./mixed-cluster.ts";
import { programAt, taggedCommit } from "./release-program.ts";
import { promote } from "./promote.ts";
import { recordedVersions } from "./recorded.ts";

const version = must(recordedVersions().at(-1));
const commit = taggedCommit(version);
const absent = commit === undefined ? ` (skipped: this clone has no tag ${version}, see \`git fetch --tags\`)` : "";
let programs: Promise<[old: string, today: string]> | undefined;
/** Both scenarios run at the same time, since they mostly wait; each program is built once. */
const built = () => (programs ??= Promise.all([programAt(must(commit)), builtBinary()]));

describe.each([...brokers])("with the %s broker", (broker) => {
  test.concurrent.skipIf(commit === undefined)(
    `a cluster of ${version} is upgraded while clients write and read${absent}`,
    async () => {
      const [old, today] = await built();
      await withMixedCluster(broker, async (cluster) => {
        await cluster.start({ primary: old, "edge-a": old, "edge-b": old, fallback: old });
        const members = () => [cluster.node("edge-a"), cluster.node("edge-b"), cluster.node("primary")];
        const load = new Load(members, cluster.node("fallback"), cluster.adminKey);
        const settled = async (primary: "primary" | "edge-a"): Promise<void> => {
          const before = load.acknowledged.length;
          while (load.acknowledged.length < before + 10 && load.failures.length === 0) await Bun.sleep(20);
          expect(load.failures).toEqual([]);
          const last = must(load.acknowledged.at(-1));
          await cluster.followed(primary, last);
        };

        await settled("primary");
        await cluster.replace("fallback", today);
        await cluster.replace("edge-a", today);
        await settled("primary");
        await promote(cluster.node("edge-a"), cluster.adminKey);
        // The old primary and the other old edge follow a primary of today.
        await settled("edge-a");
        await cluster.replace("edge-b", today);
        await cluster.replace("primary", today);
        await settled("edge-a");
        await load.stop();

        expect(load.failures).toEqual([]);
        expect(load.reads).toBeGreaterThan(50);
        await expectConverged(cluster.node("edge-a"), cluster.others("edge-a"));
        for (const name of names) {
          const found = await writtenAt(cluster.node(name), cluster.adminKey);
          expect([name, load.acknowledged.filter((user) => !found.has(user))]).toEqual([name, []]);
        }
        expect(cluster.exits).toEqual([]);
      });
    },
    // Includes the time for building.
    2 * scenarioTimeoutMs,
  );
});
