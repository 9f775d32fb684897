/** Automatic failover with a real etcd: the primary is lost, and the coordination service is. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import type { NodeProcess } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, healthOf, scenarioTimeoutMs } from "./cluster.ts";
import { held, defaultTtlMs, untilWritable, withMembers } from "./failover-members.ts";

test(
  "the primary is killed: another node is the primary with all acknowledged writes, and the old one becomes its replica",
  () =>
    withMembers(async (members) => {
      const first = await members.primary();
      const [one, other] = members.nodes.filter((node) => node !== first) as [NodeProcess, NodeProcess];
      const acknowledged: string[] = [];
      for (let index = 0; index < 30; index++) {
        const name = `before-${index}`;
        if ((await members.write(must(members.nodes[index % 3]), name)) === 200) acknowledged.push(name);
      }
      expect(acknowledged.length).toBe(30);
      const { epoch } = await healthOf(first);
      await first.kill();
      await untilWritable(members, one, "after");
      acknowledged.push("after");
      const second = await members.primary();
      expect([one, other]).toContain(second);
      expect((await healthOf(second)).epoch).not.toBe(epoch);
      for (const node of [one, other]) {
        const present = await held(members, node);
        expect(acknowledged.filter((name) => !present.has(name))).toEqual([]);
      }
      await first.start(({ role, state }) => role === "edge" && state === "LIVE");
      expect(await members.primary()).toBe(second);
      expect(await members.write(first, "through the old one")).toBe(200);
      expect((await held(members, first)).has("after")).toBe(true);
    }),
  scenarioTimeoutMs,
);

test(
  "etcd fails: the primary continues while an edge confirms its term, and stops otherwise",
  () =>
    withMembers(async (members) => {
      const first = await members.primary();
      const others = members.nodes.filter((node) => node !== first);
      const engine = must(members.etcd.members[0]);
      engine.freeze();
      // Longer than the lease.
      for (const endMs = performance.now() + 1.5 * defaultTtlMs; performance.now() < endMs; await Bun.sleep(300))
        expect(await members.write(first, `without etcd ${Math.round(performance.now())}`)).toBe(200);
      await Promise.all(others.map((node) => node.kill()));
      await eventually(
        async () => {
          const health = await fetch(`${first.url}/readyz`);
          return health.status === 503 && (await health.text()).includes("lease");
        },
        "the primary reports that its lease has expired",
        45_000,
      );
      const refused = await members.send(first, "alone");
      // Because of the lease, before the commit, rather than after the wait for edges.
      expect({ status: refused.status, text: await refused.text() }).toEqual({
        status: 503,
        text: expect.stringContaining("lease"),
      });
      engine.thaw();
      for (const node of others) node.launch();
      await untilWritable(members, must(others[0]), "again");
      expect((await held(members, await members.primary())).has("alone")).toBe(false);
    }),
  scenarioTimeoutMs,
);
