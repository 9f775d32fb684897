/**
 * A cluster of an older release is upgraded to today's code, one node after the other, goes back, is upgraded again and
 * migrated, while clients write and read. The releases are 0.1.0 and the one before this tree. Meanwhile older primaries
 * have edges of today, and primaries of today have older edges and fallbacks. No acknowledged write is lost, no read
 * fails, and data that an older release does not know are still there. `scripts/test releases-all` has more.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { builtBinary } from "../../scripts/built-binary.ts";
import { schemaVersion } from "../../src/store/connection/database-format.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";
import { brokers, eventually as eventuallyWithin, expectConverged, scenarioTimeoutMs } from "../e2e/cluster.ts";
import { Load, writtenAt } from "./load.ts";
import { names, patienceMs, withMixedCluster, type MixedCluster, type Name } from "./mixed-cluster.ts";
import { firstRelease, programOf, upgradedReleases } from "./release-program.ts";
import { promote } from "./promote.ts";
import { formatOf } from "./recorded.ts";

const programs = new Map<string, Promise<[old: string, today: string]>>();
/** The scenarios run at the same time; each program is built once. */
function built(version: string): Promise<[old: string, today: string]> {
  const building = programs.get(version) ?? Promise.all([programOf(version), builtBinary()]);
  programs.set(version, building);
  return building;
}

const eventually = (condition: () => Promise<boolean>, what: string): Promise<void> =>
  eventuallyWithin(condition, what, patienceMs);

const members = ["edge-a", "edge-b", "primary"] as const;

const scenarios = upgradedReleases().flatMap((version) => brokers.map((broker) => ({ version, broker })));

describe.each(scenarios)("a cluster of $version with the $broker broker", ({ version, broker }) => {
  const format = formatOf(version);
  test.concurrent(
    `is upgraded, goes back, is upgraded again and migrated under load`,
    async () => {
      const [old, today] = await built(version);
      await withMixedCluster(broker, async (cluster) => {
        await cluster.start({ primary: old, "edge-a": old, "edge-b": old, fallback: old });
        const writable = () => members.map((name) => cluster.node(name));
        await using load = new Load(writable, cluster.node("fallback"), cluster.adminKey);
        /** All nodes follow the primary, and nothing has failed. */
        const settled = async (primary: "primary" | "edge-a"): Promise<void> => {
          const before = load.acknowledged.length;
          while (load.acknowledged.length < before + 5 && load.failures.length === 0) await Bun.sleep(20);
          expect(load.failures).toEqual([]);
          await cluster.followed(primary, must(load.acknowledged.at(-1)));
        };
        const isFirst = version === firstRelease;

        await settled("primary");
        await cluster.replace("fallback", today);
        await cluster.replace("edge-a", today);
        await settled("primary");
        if (isFirst) {
          // An edge of today knows the nodes that its older primary and its older peers name.
          await lists(cluster, "edge-a", { primary: "primary", "edge-a": "edge", "edge-b": "edge" });
          await expectNoLimitedKeys(cluster);
        }
        await promote(cluster.node("edge-a"), cluster.adminKey);
        // The old primary and the other old edge follow a primary of today.
        await settled("edge-a");
        if (isFirst) {
          // A primary of today knows older edges from their positions, and others from their reports.
          await lists(cluster, "edge-a", {
            "edge-a": "primary",
            "edge-b": "edge",
            primary: "edge",
            fallback: "fallback",
          });
          await uploadWithMessage(cluster);
          await expectLimitedKeys(cluster);
        }
        await cluster.replace("edge-b", today);
        await cluster.replace("primary", today);
        await settled("edge-a");
        const present = await addData(cluster);

        // An older fallback takes snapshots of a primary of today.
        for (const name of ["fallback", "edge-b", "primary"] as const) await cluster.replace(name, old);
        await settled("edge-a");
        await promote(cluster.node("primary"), cluster.adminKey);
        await settled("primary");
        await cluster.replace("edge-a", old);
        await settled("primary");

        for (const name of ["fallback", "edge-a", "edge-b"] as const) await cluster.replace(name, today);
        await settled("primary");
        await promote(cluster.node("edge-a"), cluster.adminKey);
        await cluster.replace("primary", today);
        await settled("edge-a");
        await expectData(cluster, present);

        const isMigrated = format < schemaVersion;
        const done = isMigrated ? `migrated from format ${format} to ${schemaVersion}` : `has format ${format} already`;
        for (const name of ["fallback", "edge-b", "primary", "edge-a"] as const) {
          expect([name, await cluster.migrate(name, today)]).toEqual([name, expect.stringContaining(done)]);
          // A configured primary that has not learned yet of its successor would take over from one that is stopped.
          await settled("edge-a");
        }
        await load.stop();

        expect(load.failures).toEqual([]);
        expect(load.reads).toBeGreaterThan(50);
        await expectConverged(cluster.node("edge-a"), cluster.others("edge-a"), patienceMs);
        await expectData(cluster, present);
        if (isFirst)
          // Nodes of today have the message, also those that received it with the older program.
          for (const name of names)
            expect([name, (await historyOf(cluster, name))[0]]).toMatchObject([
              name,
              { author: { name: "admin" }, message },
            ]);
        for (const name of names) {
          const found = await writtenAt(cluster.node(name), cluster.adminKey);
          expect([name, load.acknowledged.filter((user) => !found.has(user))]).toEqual([name, []]);
        }
        expect(cluster.exits).toEqual([]);
        if (isMigrated) await expectRefused(cluster, old);
      });
    },
    // Includes the time for building.
    8 * scenarioTimeoutMs,
  );
});

interface Present {
  /** The ids of entries of the audit log. */
  readonly entries: ReadonlySet<string>;
  /** The admin key of the hosted environment. */
  readonly hostedKey: string;
}

const hostedPolicy = 'actor User {}\nresource Repo { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }';
const hostedFact = {
  predicate: "has_role",
  args: [
    { type: "User", id: "ann" },
    { type: "String", id: "reader" },
    { type: "Repo", id: "main" },
  ],
};

/** Adds data that 0.1.0 does not know: a hosted environment with a fact, data bindings, and entries of the audit log. */
async function addData(cluster: MixedCluster): Promise<Present> {
  const bindings = { data_bindings: "facts:\n  is_public(Repository:_):\n    query: SELECT id FROM repositories" };
  const put = { method: "PUT", body: JSON.stringify(bindings) };
  expect((await ask(cluster, "edge-a", "/api/bindings/shop", put)).status).toBe(200);
  const created = await post(cluster, "edge-a", "/api/environments", { id: "staging" });
  const { token } = (await created.json()) as { token: string };
  expect(created.status).toBe(200);
  const write = async (path: string, body: unknown): Promise<unknown> => {
    const response = await ask(cluster, "edge-a", path, { method: "POST", body: JSON.stringify(body) }, token);
    return [path, response.status];
  };
  // An edge has to follow the new environment first.
  expect(await write("/api/policy", { src: hostedPolicy })).toEqual(["/api/policy", 200]);
  expect(await write("/api/batch", [{ inserts: [hostedFact] }])).toEqual(["/api/batch", 200]);
  const entries = await entriesAt(cluster, "edge-a");
  expect(entries.size).toBeGreaterThan(2);
  return { entries, hostedKey: token };
}

async function expectData(cluster: MixedCluster, { entries, hostedKey }: Present): Promise<void> {
  for (const name of members) {
    await eventually(
      async () => entries.isSubsetOf(await entriesAt(cluster, name)),
      `${name} has the entries of the audit log`,
    );
    const answer = await ask(cluster, name, "/api/bindings");
    const { bindings } = (await answer.json()) as { bindings: { name: string }[] };
    expect([name, bindings.map((each) => each.name)]).toEqual([name, ["shop"]]);
    const factsOf = async (): Promise<unknown> =>
      (await ask(cluster, name, "/api/facts?predicate=has_role", {}, hostedKey)).json();
    await eventually(async () => Bun.deepEquals(await factsOf(), [hostedFact]), `${name} has the hosted environment`);
  }
}

async function entriesAt(cluster: MixedCluster, name: Name): Promise<Set<string>> {
  const { entries } = (await (await ask(cluster, name, "/api/audit?page_size=1000")).json()) as {
    entries: { id: string }[];
  };
  return new Set(entries.map(({ id }) => id));
}

/** The older program refuses migrated data, says what to do, and leaves them unchanged. */
async function expectRefused(cluster: MixedCluster, old: string): Promise<void> {
  await cluster.node("edge-b").stop();
  const path = currentStorePath(cluster.node("edge-b").directory);
  cluster.launch("edge-b", old);
  const node = cluster.node("edge-b");
  await eventually(async () => !node.running, "the older program ends");
  expect(node.ending).toBe("status 1");
  expect(node.output).toContain("a newer version of Ostiary wrote it. Start that version or a later one");
  expect(currentStorePath(node.directory)).toBe(path);
}

/** Waits until the node lists these nodes with their roles, all with a position. */
async function lists(cluster: MixedCluster, name: Name, expected: Readonly<Record<string, string>>): Promise<void> {
  await eventually(
    async () => {
      const { nodes } = (await (await ask(cluster, name, "/api/nodes")).json()) as {
        readonly nodes: readonly { readonly node: string; readonly role: string; readonly offset: number | null }[];
      };
      const roles = Object.fromEntries(
        nodes.filter(({ offset }) => offset !== null).map((each) => [each.node, each.role]),
      );
      return Bun.deepEquals(roles, expected);
    },
    `${name} lists ${Object.keys(expected).join(", ")}`,
  );
}

const message = "the first policy with a message";

/** Older edges forward an upload with a message, and apply its event without a snapshot. */
async function uploadWithMessage(cluster: MixedCluster): Promise<void> {
  const older = [cluster.node("edge-b"), cluster.node("primary")];
  const paths = older.map(({ directory }) => currentStorePath(directory));
  const { src, filename } = await policyOf(cluster, "edge-a");
  const body = JSON.stringify({ src: `${src}\n# reviewed`, filename, message });
  const response = await ask(cluster, "edge-b", "/api/policy", { method: "POST", body });
  expect([response.status, await response.json()]).toEqual([200, { message: expect.stringMatching(/^policy loaded/) }]);
  const stored = `${src}\n# reviewed\n# ostiary upload {"policy":2,`;
  // Clients still write, so the positions of the nodes differ.
  for (const name of ["edge-b", "primary"] as const)
    await eventually(async () => (await policyOf(cluster, name)).src.startsWith(stored), `${name} has the policy`);
  expect(older.map(({ directory }) => currentStorePath(directory))).toEqual(paths);
  expect(await policyOf(cluster, "edge-a")).toEqual({ src: `${src}\n# reviewed`, filename });
}

interface ListedKey {
  readonly id: string;
  readonly name: string;
}

const keysOf = async (cluster: MixedCluster, name: Name): Promise<readonly ListedKey[]> =>
  ((await (await ask(cluster, name, "/api/keys")).json()) as { keys: ListedKey[] }).keys;

const post = (cluster: MixedCluster, name: Name, path: string, body: object): Promise<Response> =>
  ask(cluster, name, path, { method: "POST", body: JSON.stringify(body) });

/** An older primary creates no key without the limits that were asked for, also if a node of today forwards it. */
async function expectNoLimitedKeys(cluster: MixedCluster): Promise<void> {
  const before = await keysOf(cluster, "primary");
  for (const name of ["primary", "edge-a"] as const) {
    const limited = { name: "limited", grant: { role: "write", expires: "90d", only_types: ["Org"] } };
    expect([name, (await post(cluster, name, "/api/keys", limited)).status]).toEqual([name, 400]);
    expect([name, (await post(cluster, name, "/api/keys/x/rotate", {})).status]).toEqual([name, 404]);
  }
  expect(await keysOf(cluster, "primary")).toEqual(before);
}

/** Older nodes apply the events of keys with limits without a snapshot, and never accept such a key. */
async function expectLimitedKeys(cluster: MixedCluster): Promise<void> {
  const today = ["edge-a", "fallback"] as const;
  const older = ["edge-b", "primary"] as const;
  const paths = older.map((name) => currentStorePath(cluster.node(name).directory));
  const make = async (body: object, path = "/api/keys") =>
    (await (await post(cluster, "edge-b", path, body)).json()) as { id: string; token: string };
  const expiring = await make({ name: "expiring", grant: { role: "read", expires: "90d" } });
  const short = await make({ name: "short", grant: { role: "write", expires: "1ms" } });
  const restricted = await make({ name: "restricted", grant: { role: "write", only_predicates: ["has_role"] } });
  const rotated = await make({ name: "rotated", role: "write" });
  // 0.1.0 has no route for a rotation.
  const answer = await post(cluster, "edge-a", `/api/keys/${rotated.id}/rotate`, {});
  const next = (await answer.json()) as { token: string };
  for (const name of names)
    await eventually(async () => (await statusOf(cluster, name, next.token)) === 200, `${name} has the keys`);
  const expected = [
    ...today.map((name) => ({ name, statuses: [200, 401, 200, 200, 200] })),
    ...older.map((name) => ({ name, statuses: [401, 401, 401, 401, 200] })),
  ];
  const tokens = [expiring, short, restricted, rotated, next].map(({ token }) => token);
  for (const { name, statuses } of expected)
    expect([name, await Promise.all(tokens.map((token) => statusOf(cluster, name, token)))]).toEqual([name, statuses]);
  // An older edge asks the primary about the key, and the primary decides.
  const write = async (predicate: string) => {
    const fact = {
      predicate,
      args: [
        { type: "User", id: "limited" },
        { type: "String", id: "reader" },
        { type: "Repository", id: "x" },
      ],
    };
    const init = { method: "POST", body: JSON.stringify([{ deletes: [fact] }]) };
    return (await ask(cluster, "edge-b", "/api/batch", init, restricted.token)).status;
  };
  expect([await write("has_role"), await write("has_relation")]).toEqual([200, 403]);
  // It shows them under other ids, by which they can be removed as well.
  const shown = must((await keysOf(cluster, "edge-b")).find(({ name }) => name === "restricted"));
  expect(shown.id).not.toBe(restricted.id);
  const removal = await ask(cluster, "edge-b", `/api/keys/${encodeURIComponent(shown.id)}`, { method: "DELETE" });
  expect(removal.status).toBe(200);
  expect(await statusOf(cluster, "edge-a", restricted.token)).toBe(401);
  expect(older.map((name) => currentStorePath(cluster.node(name).directory))).toEqual(paths);
}

const statusOf = async (cluster: MixedCluster, name: Name, token: string): Promise<number> =>
  (await ask(cluster, name, "/api/policy", {}, token)).status;

const policyOf = async (cluster: MixedCluster, name: Name): Promise<{ src: string; filename: string | null }> =>
  ((await (await ask(cluster, name, "/api/policy")).json()) as { policy: { src: string; filename: string | null } })
    .policy;

const historyOf = async (cluster: MixedCluster, name: Name): Promise<unknown[]> =>
  ((await (await ask(cluster, name, "/api/policy_history")).json()) as { versions: unknown[] }).versions;

/** Sends a request that is answered with 503 again, under the same id, as clients do. */
async function ask(
  cluster: MixedCluster,
  name: Name,
  path: string,
  init: RequestInit = {},
  key = cluster.adminKey,
): Promise<Response> {
  const headers = { Authorization: `Bearer ${key}`, "X-Request-ID": crypto.randomUUID() };
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const response = await fetch(`${cluster.node(name).url}${path}`, { ...init, headers });
    if (response.status !== 503 || Date.now() > deadline) return response;
    await Bun.sleep(50);
  }
}
