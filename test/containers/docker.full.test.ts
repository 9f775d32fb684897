/** The compose files with two brokers and with failover, on Docker, whose containers are killed. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { facts, Organization, User } from "../../scripts/example/facts.ts";
import { eventually, loadExample } from "../e2e/cluster.ts";
import { expectAnswers, healthOn } from "./container-answers.ts";
import { clientOf, freePorts, isInState, patienceMs, secrets, useDocker, words } from "./on-docker.ts";

describe("on Docker", () => {
  const { compose, withLogs, running, areHealthy } = useDocker();

  test(
    "compose/two-brokers.yaml delivers events when one broker is killed",
    withLogs("two-brokers.yaml", async () => {
      const all = secrets();
      const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT");
      const { PRIMARY_PORT: primary, EDGE_A_PORT: edgeA, EDGE_B_PORT: edgeB } = ports;
      await compose("two-brokers.yaml", { ...all, ...words(ports) }, "up", "--detach", "--wait");
      await compose("two-brokers.yaml", {}, "kill", "mosquitto-a");
      await loadExample(clientOf(primary, all.OSTIARY_ADMIN_KEY));
      for (const port of [edgeA, edgeB]) await expectAnswers(port, all.OSTIARY_ADMIN_KEY);
      await compose("two-brokers.yaml", {}, "start", "mosquitto-a");
      expect(await running()).toHaveLength(5);
      await compose("two-brokers.yaml", {}, "down", "--volumes");
      expect(await running()).toEqual([]);
    }),
    150_000,
  );

  test(
    "compose/failover.yaml: a node and a member of etcd are killed, and no acknowledged write is lost",
    withLogs("failover.yaml", async () => {
      const all = secrets();
      const ports = await freePorts("NODE_A_PORT", "NODE_B_PORT", "NODE_C_PORT");
      const { NODE_A_PORT: first, NODE_B_PORT: second, NODE_C_PORT: third } = ports;
      const variables = { ...all, ...words(ports) };
      const client = (port: number) => clientOf(port, all.OSTIARY_ADMIN_KEY);
      await compose("failover.yaml", variables, "up", "--detach");
      await isInState(first, "PRIMARY");
      for (const port of [second, third]) await isInState(port, "LIVE");
      await loadExample(client(first));

      const acknowledged: string[] = [];
      let isWriting = true;
      const writer = (async (): Promise<void> => {
        for (let number = 0; isWriting; number++) {
          const id = `writer-${number}`;
          const write = client(second).insert(["has_role", User(id), "member", Organization("acme")]);
          await write.then(
            () => acknowledged.push(id),
            () => Bun.sleep(50),
          );
        }
      })();
      await eventually(async () => acknowledged.length >= 20, "writes are acknowledged");
      await compose("failover.yaml", {}, "kill", "node-a", "etcd-a");
      const beforePromotion = acknowledged.length;
      const hasPrimary = async (): Promise<boolean> =>
        (await Promise.all([second, third].map(healthOn))).some(({ role }) => role === "primary");
      await eventually(hasPrimary, "another node is the primary", patienceMs);
      const enough = acknowledged.length + 20;
      await eventually(async () => acknowledged.length >= enough, "writes are acknowledged again", patienceMs);
      isWriting = false;
      await writer;
      expect(acknowledged.length).toBeGreaterThan(beforePromotion);

      const roles = facts.filter(([predicate]) => predicate === "has_role").length;
      const expectNothingLost = async (port: number): Promise<void> => {
        await expectAnswers(port, all.OSTIARY_ADMIN_KEY);
        const missing = async () => {
          const found = await client(port).get(["has_role", null, null, null]);
          const ids = new Set(found.map(([, user]) => (user as { readonly id: string }).id));
          expect(found.length).toBeGreaterThan(roles);
          return acknowledged.filter((id) => !ids.has(id));
        };
        await eventually(async () => (await missing()).length === 0, `the node at ${port} has all acknowledged writes`);
      };
      for (const port of [second, third]) await expectNothingLost(port);

      await compose("failover.yaml", {}, "start", "node-a", "etcd-a");
      await isInState(first, "LIVE");
      await expectNothingLost(first);

      // A new set of containers with the volumes of this one.
      await compose("failover.yaml", {}, "down", "--timeout", "1");
      expect(await running()).toEqual([]);
      await compose("failover.yaml", variables, "up", "--detach");
      for (const port of [first, second, third]) {
        await eventually(async () => (await healthOn(port)).ok, `the node at ${port} answers`, patienceMs);
        await expectNothingLost(port);
      }
      await areHealthy(6);
    }),
    240_000,
  );
});
