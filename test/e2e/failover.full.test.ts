/** Automatic failover with a real etcd: frozen nodes, planned changes, damaged disks, and several environments. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import type { NodeProcess } from "../../scripts/node-process.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";
import { flipBit } from "../replication/flip-bit.ts";
import { eventually, healthOf, scenarioTimeoutMs } from "./cluster.ts";
import { held, policy, relation, defaultTtlMs, untilWritable, withMembers } from "./failover-members.ts";

test(
  "the primary is frozen for longer than its lease: afterwards it acknowledges no write, and becomes an edge of the new primary",
  () =>
    withMembers(async (members) => {
      const first = await members.primary();
      const other = must(members.nodes.find((node) => node !== first));
      process.kill(must(first.pid), "SIGSTOP");
      const late = Array.from({ length: 5 }, (_, index) => members.write(first, `late-${index}`));
      await untilWritable(members, other, "meanwhile");
      process.kill(must(first.pid), "SIGCONT");
      const statuses = await Promise.all(late);
      await first.ready(({ role, state }) => role === "edge" && state === "LIVE");
      const present = await held(members, other);
      // Writes that it forwarded to the new primary exist; every acknowledged write exists.
      statuses.forEach((status, index) => status === 200 && expect(present.has(`late-${index}`)).toBe(true));
      expect(present.has("meanwhile")).toBe(true);
      expect((await held(members, first)).has("meanwhile")).toBe(true);
    }),
  scenarioTimeoutMs,
);

test(
  "the primary hands over with one command, and a node that stops releases the lease immediately",
  () =>
    withMembers(
      async (members) => {
        const first = await members.primary();
        const [one] = members.nodes.filter((node) => node !== first) as [NodeProcess];
        const headers = { Authorization: `Bearer ${members.adminKey}`, "Content-Type": "application/json" };
        const promote = { method: "POST", headers, body: JSON.stringify({ graceful: true }) };
        const answer = await fetch(`${one.url}/api/promote`, promote);
        expect({ status: answer.status, text: answer.status === 200 ? "" : await answer.text() }).toEqual({
          status: 200,
          text: "",
        });
        expect(await members.primary()).toBe(one);
        await first.ready(({ role, state }) => role === "edge" && state === "LIVE");
        expect(await members.write(first, "to the new one")).toBe(200);
        const refused = await fetch(`${first.url}/api/promote`, { method: "POST", headers, body: "{}" });
        expect({ status: refused.status, text: await refused.text() }).toMatchObject({
          status: 409,
          text: expect.stringContaining("is alive"),
        });

        // The lease would expire later than this test waits for a write.
        expect(await one.stop()).toBe(0);
        await untilWritable(members, first, "after the stop");
      },
      { ttlMs: 60_000 },
    ),
  scenarioTimeoutMs,
);

test(
  "an operator takes the lease with --force, and a primary that lost its directory begins no second history",
  () =>
    withMembers(async (members) => {
      const first = await members.primary();
      const [one] = members.nodes.filter((node) => node !== first) as [NodeProcess];
      expect(await members.write(first, "before")).toBe(200);
      const headers = { Authorization: `Bearer ${members.adminKey}`, "Content-Type": "application/json" };
      const forced = { method: "POST", headers, body: JSON.stringify({ force: true }) };
      const answer = await fetch(`${one.url}/api/promote`, forced);
      expect({ status: answer.status, text: answer.status === 200 ? "" : await answer.text() }).toEqual({
        status: 200,
        text: "",
      });
      await first.ready(({ role, state }) => role === "edge" && state === "LIVE");
      expect(await members.primary()).toBe(one);
      const { epoch } = await healthOf(one);

      // The node with the role primary, on an empty directory.
      const configured = must(members.nodes[0]);
      await configured.kill();
      rmSync(configured.directory, { recursive: true });
      await untilWritable(members, must(members.nodes[1]), "meanwhile");
      await configured.start(({ role, state }) => role === "edge" && state === "LIVE");
      expect((await held(members, configured)).has("before")).toBe(true);
      expect((await healthOf(configured)).epoch).toBe(epoch);
    }),
  scenarioTimeoutMs,
);

test(
  "no node replaces a primary without `failover`, and `failover` can be turned on later without a loss",
  () =>
    withMembers(
      async (members) => {
        const [first, one, other] = members.nodes as [NodeProcess, NodeProcess, NodeProcess];
        const { epoch } = await healthOf(first);
        // The edges have the setting already: they look for a free lease all the time.
        for (const endMs = performance.now() + 1.5 * defaultTtlMs; performance.now() < endMs; await Bun.sleep(300))
          expect(await members.write(first, `before ${Math.round(performance.now())}`)).toBe(200);
        expect((await healthOf(first)).epoch).toBe(epoch);
        await first.stop();
        first.launch({ OSTIARY_FAILOVER: members.etcd.url("ostiary") });
        await untilWritable(members, one, "after");
        await first.ready(({ state }) => state === "LIVE" || state === "PRIMARY");
        for (const node of [first, one, other]) expect((await held(members, node)).has("after")).toBe(true);
      },
      { unleased: "node-a" },
    ),
  scenarioTimeoutMs,
);

test(
  "bits flip in the primary's database: it releases the lease, and has a sound database before a query reads the damaged page",
  () =>
    withMembers(async (members) => {
      const first = await members.primary();
      const { epoch } = await healthOf(first);
      expect(await members.write(first, "before")).toBe(200);
      // Until it has read all pages once, and has done a checkpoint.
      await Bun.sleep(3000);
      const stores = join(members.directory, first.name);
      const damaged = must(currentStorePath(stores));
      const { size } = statSync(damaged);
      for (let page = 2; page < size / 4096; page++) flipBit(damaged, page * 4096 - 100, 2);
      // It may be the primary again by then, with the data of the others.
      await eventually(async () => currentStorePath(stores) !== damaged, "it has another copy", 15_000);
      await untilWritable(members, first, "after");
      expect((await healthOf(await members.primary())).epoch).not.toBe(epoch);
      for (const node of members.nodes)
        expect([...(await held(members, node))].toSorted()).toEqual(["after", "before"]);
    }),
  scenarioTimeoutMs,
);

test(
  "an environment is created, and its primary is where that of the default one is, also after kills of the primary",
  () =>
    withMembers(async (members) => {
      const ask = async (node: NodeProcess, key: string, method: string, path: string, body?: unknown) => {
        const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
        const sent = body === undefined ? {} : { body: JSON.stringify(body) };
        const signal = AbortSignal.timeout(20_000);
        return fetch(`${node.url}${path}`, { method, headers, signal, ...sent }).then(
          async (response) => ({ status: response.status, text: await response.text() }),
          (error: unknown) => ({ status: 0, text: String(error) }),
        );
      };
      const create = async (node: NodeProcess, body: unknown): Promise<string> => {
        const { status, text } = await ask(node, members.adminKey, "POST", "/api/environments", body);
        expect({ status, text }).toEqual({ status: 200, text: expect.any(String) });
        return (JSON.parse(text) as { readonly token: string }).token;
      };
      const write = (node: NodeProcess, key: string, name: string) =>
        ask(node, key, "POST", "/api/batch", [{ inserts: [relation(name)] }]);
      const untilWritten = (node: NodeProcess, key: string, name: string): Promise<void> =>
        eventually(async () => (await write(node, key, name)).status === 200, "a write is acknowledged", 30_000);

      const keys: string[] = [];
      for (const round of ["one", "two"]) {
        const present = await members.primary();
        await new Oso(present.url, members.adminKey).policy(policy);
        const empty = await create(present, { id: `empty-${round}` });
        await eventually(
          async () => (await ask(present, empty, "POST", "/api/policy", { src: policy })).status === 200,
          "the policy is acknowledged by an edge",
          20_000,
        );
        await untilWritten(present, members.adminKey, `default-${round}`);
        const copy = await create(present, { id: `copy-${round}`, copy_of: "default" });
        keys.push(empty, copy);
        for (const key of keys) await untilWritten(present, key, `before-${round}`);
        await present.kill();
        const rest = members.nodes.filter(({ running }) => running);
        for (const key of keys) await untilWritten(must(rest[0]), key, `after-${round}`);
        const successor = await members.primary();
        await eventually(
          async () => {
            const { text } = await ask(successor, members.adminKey, "GET", "/api/environments");
            const { environments } = JSON.parse(text) as { readonly environments: readonly { role: string }[] };
            return environments.length === keys.length + 1 && environments.every(({ role }) => role === "primary");
          },
          "the successor has all primaries",
          30_000,
        );
        await eventually(
          async () =>
            (await ask(successor, members.adminKey, "PATCH", `/api/environments/copy-${round}`, { name: round }))
              .status === 200,
          "the successor has the registry",
          30_000,
        );
        await present.start(({ role, state }) => role === "edge" && state === "LIVE");
        await eventually(
          async () => {
            const { text } = await ask(present, members.adminKey, "GET", "/api/environments");
            const { environments } = JSON.parse(text) as {
              readonly environments: readonly { role: string; ready: boolean }[];
            };
            return (
              environments.length === keys.length + 1 &&
              environments.every(({ role, ready }) => role === "edge" && ready)
            );
          },
          "the old primary is an edge of all environments",
          30_000,
        );
        for (const key of keys)
          for (const name of [`before-${round}`, `after-${round}`]) {
            await eventually(
              async () => (await ask(present, key, "GET", "/api/facts?predicate=has_role")).text.includes(`"${name}"`),
              "the old primary has the writes",
              20_000,
            );
          }
      }
      expect(members.nodes.flatMap(({ exits }) => exits)).toEqual([]);
    }),
  3 * scenarioTimeoutMs,
);
