/**
 * The replacement of the node key: nodes with one key, with both in either order, and with the other one. Backups and
 * snapshots of the time before, environments, a key that the primary has made, and what a removed key is still good for.
 */
import * as Bun from "bun";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { defaultLimits } from "../../src/config/limits.ts";
import { openBackup, restore, type RestoreOptions } from "../../src/replication/backup/restore.ts";
import { listStoredBackups } from "../../src/replication/backup/stored-backups.ts";
import type { Node } from "../../src/replication/node.ts";
import { buildSnapshotInWorker } from "../../src/replication/snapshots/snapshot-jobs.ts";
import { realSystem } from "../../src/replication/system.ts";
import { sendWithNodeKey } from "../../src/replication/transport/node-authorization.ts";
import type { MintedKeys } from "../../src/roles/primary-keys.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { hashKey, storedNodeKeyHash } from "../../src/store/keys/api-keys.ts";
import { matchingIndex, nodeKeyHashesIn, nodeKeyId } from "../../src/store/keys/node-keys.ts";
import { openSnapshot } from "../../src/store/snapshot/snapshot.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import { ask, createEnvironment, fill, isReader, mayRead as mayReadOver } from "../environments/host.ts";
import { apiOf } from "../http/api.ts";
import { nodesOf } from "../http/nodes.ts";
import { withCapturedLog } from "./captured-log.ts";
import {
  adminKey,
  type Cluster,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey as oldKey,
  refusal,
  type Running,
  unset,
  withCluster,
} from "./cluster.ts";

// Nodes make their snapshots with low priority, which takes long on a busy machine.
setDefaultTimeout(180_000);

const newKey = "n_test_fedcba9876543210";
const both = { adding: `${oldKey} ${newKey}`, switched: `${newKey}\n${oldKey}` };

describe("the keys of a node", () => {
  const [old, made] = nodeKeyHashesIn(both.adding);

  test("are the words of the setting, and their ids are short and not the beginning of a hash", () => {
    expect([old, made]).toEqual([hashKey(oldKey), hashKey(newKey)]);
    expect(nodeKeyHashesIn(`${newKey}\r\n${oldKey}\n`)).toEqual([hashKey(newKey), hashKey(oldKey)]);
    expect(nodeKeyId(old)).toMatch(/^[0-9a-f]{8}$/);
    expect(nodeKeyId(old)).not.toBe(nodeKeyId(must(made)));
    expect(old).not.toStartWith(nodeKeyId(old));
    // Backups of other releases name it.
    expect(nodeKeyId(hashKey("n_test_0123456789abcdef"))).toBe(nodeKeyId(old));
  });

  test("are compared with all candidates, whatever their lengths", () => {
    const [a, b] = [Buffer.from("aaaa"), Buffer.from("bbbb")];
    expect(matchingIndex(a, [a, b])).toBe(0);
    expect(matchingIndex(b, [a, b])).toBe(1);
    expect(matchingIndex(Buffer.from("aaa"), [a, b])).toBeUndefined();
    expect(matchingIndex(Buffer.from(""), [a, b])).toBeUndefined();
    expect(matchingIndex(a, [a, a])).toBe(0);
  });

  test("are sent one after the other, and only to a node that refuses the first one", async () => {
    const attempts = async (setting: string, accepted: string | undefined): Promise<[number, string[]]> => {
      const sent: string[] = [];
      const { status } = await sendWithNodeKey(setting, async ({ Authorization: authorization }) => {
        sent.push(authorization.slice("Bearer ".length));
        return new Response("", { status: accepted === undefined ? 503 : sent.at(-1) === accepted ? 200 : 401 });
      });
      return [status, sent];
    };
    expect(await attempts(both.switched, newKey)).toEqual([200, [newKey]]);
    expect(await attempts(both.switched, oldKey)).toEqual([200, [newKey, oldKey]]);
    expect(await attempts(both.switched, "another")).toEqual([401, [newKey, oldKey]]);
    expect(await attempts(both.switched, undefined)).toEqual([503, [newKey]]);
    expect(await attempts(newKey, oldKey)).toEqual([401, [newKey]]);
  });
});

describe("nodes at different steps", () => {
  test.each([
    ["the primary has the second key already, the others not yet", both.adding, oldKey],
    ["the others have the second key already, the primary not yet", oldKey, both.adding],
    ["the others use the new key already", both.adding, both.switched],
    ["the others have removed the old key already", both.switched, newKey],
    ["the primary has removed the old key already", newKey, both.switched],
    ["a step was left out: the primary does not know the new key of the others", oldKey, both.switched],
  ])("work together: %s", (_, atPrimary, atOthers) =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary({ nodeKey: atPrimary });
      await loadPolicy(primary.node);
      await worksWith(primary, await startOthers(cluster, primary, atOthers));
    }),
  );

  test("continue with their data if they do not know the new key, and name the keys when they need a snapshot", () =>
    withCapturedLog((lines) =>
      withCluster(async (cluster) => {
        const first = await cluster.primary({ nodeKey: oldKey });
        await loadPolicy(first.node);
        for (const other of await startOthers(cluster, first, oldKey)) {
          await converged(other.node, first.node);
          await other.stop();
        }
        await first.stop();
        const primary = await cluster.primary({ nodeKey: both.switched });
        await worksWith(primary, await startOthers(cluster, primary, oldKey));
        expect(lines.join("\n")).not.toContain("its MAC is wrong");
        const empty = await cluster.edge("empty", primary, { nodeKey: oldKey });
        const [newId, oldId] = [newKey, oldKey].map((key) => nodeKeyId(hashKey(key)));
        await eventually(() =>
          expect(lines.join("\n")).toContain(`it names the key \`${newId}\`, and the given one is \`${oldId}\``),
        );
        expect(empty.node.health().ok).toBe(false);
      }),
    ));

  test("of which one knows only the old key and one only the new one refuse each other, and say what to do", () =>
    withCapturedLog((lines) =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary({ nodeKey: newKey });
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge", primary, { nodeKey: oldKey });
        await eventually(() => {
          expect(lines.join("\n")).toContain("first add the new key to the old one on every node");
          expect(lines.join("\n")).toContain("wrong node key");
        });
        expect(lines.join("\n")).not.toMatch(/0123456789abcdef|fedcba9876543210/);
        expect(edge.node.health().ok).toBe(false);
        await edge.stop();
        const repaired = await cluster.edge("edge", primary, { nodeKey: both.adding });
        await converged(repaired.node, primary.node);
      }),
    ));
});

/** An edge, and a fallback that follows the events. */
async function startOthers(cluster: Cluster, primary: Running<Node>, nodeKey: string): Promise<Running<Node>[]> {
  const edge = await cluster.edge("edge", primary, { nodeKey });
  return [edge, await cluster.fallback(primary, { nodeKey, follow: "true" })];
}

/** The first of the others, an edge, gets events over the broker, and forwards a write. */
async function worksWith(primary: Running<PrimaryNode>, others: readonly Running<Node>[]): Promise<void> {
  const edge = must(others[0]);
  await eventually(() => expect(edge.node.health().isBrokerConnected).toBe(true));
  await insert(primary.node, "ann");
  for (const { node } of others) await converged(node, primary.node);
  expect(mayRead(edge.node, "ann")).toBe(true);
  const written = await ask(edge, adminKey, "POST", "/api/batch", [{ inserts: [isReader("bob")] }]);
  expect(written.status).toBe(200);
  expect(mayRead(primary.node, "bob")).toBe(true);
}

test("a write is acknowledged by an edge at another step, and its client is named in the audit log", () =>
  withCluster(
    async (cluster) => {
      const primary = await cluster.primary({ nodeKey: both.switched });
      const edge = await cluster.edge("edge", primary, { nodeKey: both.adding });
      expect((await ask(primary, adminKey, "POST", "/api/policy", { src: "actor User {}" })).status).toBe(200);
      const upload = await ask(edge, adminKey, "POST", "/api/policy", { src: "actor User {}\nactor Bot {}" });
      expect([upload.status, upload.text]).toEqual([200, expect.any(String)]);
      const { text } = await ask(primary, adminKey, "GET", "/api/audit");
      expect(text).toContain('"via":"edge"');
      await converged(edge.node, primary.node);
    },
    { ack: "edges:1" },
  ));

test("nodes list the ids of the keys that they accept, the used one first, and count uses of the second one", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary({ nodeKey: both.switched });
    await loadPolicy(primary.node);
    const before = await usesOfSecondKey();
    const edge = await cluster.edge("edge", primary, { nodeKey: both.adding });
    const [old, made] = nodeKeyHashesIn(both.adding).map(nodeKeyId);
    await eventually(async () => {
      const nodes = await nodesOf(apiOf(primary));
      expect(nodes.map(({ node, node_keys: keys }) => [node, keys])).toEqual([
        ["primary", [must(made), must(old)]],
        ["edge", [must(old), must(made)]],
      ]);
    });
    expect(await usesOfSecondKey()).toBeGreaterThan(before);
    await edge.stop();
    const switched = await cluster.edge("edge", primary, { nodeKey: both.switched });
    await converged(switched.node, primary.node);
    await eventually(() => expect(switched.node.health().isBrokerConnected).toBe(true));
    const then = await usesOfSecondKey();
    await insert(primary.node, "ann");
    await converged(switched.node, primary.node);
    expect(await usesOfSecondKey()).toBe(then);
  }));

test("a removed key is worth nothing: requests, logins and snapshots with it are refused as with any wrong key", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary({ nodeKey: both.switched });
    await loadPolicy(primary.node);
    const edge = await cluster.edge("edge", primary, { nodeKey: both.switched });
    await converged(edge.node, primary.node);
    const statuses = (key: string) => Promise.all([primary, edge].map(async (node) => (await head(node, key)).status));
    expect(await statuses(oldKey)).toEqual([200, 200]);
    expect(await loginAt(primary, oldKey)).toBe("connected");
    await edge.stop();
    await primary.stop();

    const later = await cluster.primary({ nodeKey: newKey });
    const edgeAfter = await cluster.edge("edge", later, { nodeKey: newKey });
    await converged(edgeAfter.node, later.node);
    for (const node of [later, edgeAfter]) {
      const [removed, wrong] = [await head(node, oldKey), await head(node, "another-key-of-other-nodes")];
      expect([removed.status, await removed.text()]).toEqual([401, await wrong.text()]);
    }
    expect(await loginAt(later, oldKey)).toBe(await loginAt(later, "another-key-of-other-nodes"));
    expect(await loginAt(later, newKey)).toBe("connected");
  }));

async function head(node: { readonly url: string }, key: string): Promise<Response> {
  return fetch(`${node.url}/replication/v1/head`, { headers: { Authorization: `Bearer ${key}` } });
}

/** `connected`, or why the embedded broker refused the login. */
async function loginAt(node: { readonly url: string }, key: string): Promise<string> {
  const login = {
    clientId: "visitor",
    username: "visitor",
    password: key,
    protocolVersion: 4,
    reconnectPeriod: 0,
  } as const;
  try {
    const client = await connectAsync(`${node.url.replace("http", "ws")}/mqtt`, login);
    await client.endAsync(true);
    return "connected";
  } catch (error) {
    return String(error);
  }
}

async function usesOfSecondKey(): Promise<number> {
  const { values } = await metrics.nodeKeyPreviousUses.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

describe("a file of the time before", () => {
  const quiet = { limits: defaultLimits, onStep() {}, warn() {} };
  const usual = { ...quiet, target: undefined, force: false, knownTerm: 0, dryRun: false, allowUnauthenticated: true };
  const withKey = (file: string, directory: string, nodeKey: string): RestoreOptions => ({
    ...{ ...usual, file, directory, nodeKeyHashes: nodeKeyHashesIn(nodeKey) },
  });
  const [oldId, newId] = [nodeKeyId(hashKey(oldKey)), nodeKeyId(hashKey(newKey))];

  test("names its key, is restored with it, also as the second one, and without it is refused with a remedy", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary({ nodeKey: oldKey });
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const file = join(cluster.directory, "all.backup");
      const answer = await fetch(`${primary.url}/api/backup`, { headers: { Authorization: `Bearer ${adminKey}` } });
      await Bun.write(file, await answer.bytes());
      await primary.stop();
      expect(openBackup(file).manifest.nodeKey).toBe(oldId);

      const target = (name: string): string => join(cluster.directory, name);
      for (const [name, key] of Object.entries({ alone: oldKey, first: both.adding, second: both.switched })) {
        const restored = await restore(withKey(file, target(name), key));
        expect([name, restored.authenticity]).toEqual([name, "verified"]);
      }
      const { message } = await refusal(restore(withKey(file, target("none"), newKey)));
      expect(message).toContain(`it names the key \`${oldId}\`, and the given one is \`${newId}\``);
      expect(message).toContain("give the node key with which it was made");
      const again = await cluster.primary({ nodeKey: newKey, data: target("second") });
      expect(mayRead(again.node, "ann")).toBe(true);
      await again.stop();

      const listed = async (nodeKey: string) => {
        const options = { directory: cluster.directory, environment: "test", nodeKeyHashes: nodeKeyHashesIn(nodeKey) };
        const { backups } = await listStoredBackups(options);
        return backups.map(({ name, authenticity, manifest }) => [name, authenticity, manifest.nodeKey]);
      };
      expect(await listed(both.switched)).toEqual([["all.backup", "verified", oldId]]);
      expect(await listed(newKey)).toEqual([["all.backup", "wrong", oldId]]);
    }));

  test("is where an edge starts that accepts its key, and one that does not takes a snapshot of the primary", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary({ nodeKey: both.switched });
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const store = must(currentStorePath(primary.data));
      const { path } = await buildSnapshotInWorker(realSystem, store, cluster.directory, hashKey(oldKey));
      const nowhere = { url: "http://127.0.0.1:1" };
      const edge = await cluster.edge("edge", nowhere, { nodeKey: both.switched, import: path });
      expect(mayRead(edge.node, "ann")).toBe(true);
      await withCapturedLog(async (lines) => {
        const refused = await cluster.edge("other", primary, { nodeKey: newKey, import: path });
        expect(lines.join("\n")).toContain(`it names the key \`${oldId}\``);
        await converged(refused.node, primary.node);
      });
    }));

  test("that a node has cached is made anew with the new key, since other nodes may not accept the old one", () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary({ nodeKey: both.adding });
      await loadPolicy(first.node);
      const download = async ({ url }: Running<typeof first.node>) => {
        const file = join(cluster.directory, `given-${Math.random()}.zst`);
        const answer = await fetch(`${url}/replication/v1/snapshot`, {
          headers: { Authorization: `Bearer ${oldKey}` },
        });
        await Bun.write(file, await answer.bytes());
        return openSnapshot(file).manifest.nodeKey;
      };
      expect(await download(first)).toBe(oldId);
      await first.stop();
      const second = await cluster.primary({ nodeKey: both.switched });
      expect(await download(second)).toBe(newId);
    }));
});

test("a key that the primary has made is replaced like one of the configuration, and does not come back", () =>
  withCluster(async (cluster) => {
    const shown: MintedKeys[] = [];
    const first = await cluster.primary({ nodeKey: unset }, async (minted) => void shown.push(minted));
    const made = must(shown[0]?.nodeKey);
    await loadPolicy(first.node);
    const stored = (): string | undefined => storedNodeKeyHash(must(currentStorePath(first.data)));
    await first.stop();
    expect(stored()).toBe(hashKey(made));
    for (const [nodeKey, used] of [
      [`${made} ${newKey}`, made],
      [`${newKey} ${made}`, newKey],
      [newKey, newKey],
    ] as const) {
      const primary = await cluster.primary({ nodeKey });
      expect((await head(primary, used)).status).toBe(200);
      await primary.stop();
      expect(stored()).toBe(hashKey(used));
    }
    // Without a configured key, the removed one would be valid again.
    const last = await cluster.primary({ nodeKey: unset });
    expect([(await head(last, made)).status, (await head(last, newKey)).status]).toEqual([401, 200]);
  }));

test("hosted environments have the keys of their node", () =>
  withCluster(async (cluster) => {
    let primary = await cluster.host("primary", "primary");
    const { port } = new URL(primary.url);
    let edge = await cluster.host("edge", "edge", { primary: primary.url });
    const key = await createEnvironment(primary, "team-a");
    await fill(primary, key, "ann");
    const restart = async (which: "primary" | "edge", nodeKey: string): Promise<void> => {
      if (which === "edge") {
        await edge.stop();
        edge = await cluster.host("edge", "edge", { primary: primary.url, nodeKey });
      } else {
        await primary.stop();
        primary = await cluster.host("primary", "primary", { port, nodeKey });
      }
    };
    const steps = [
      ["edge", both.adding],
      ["primary", both.switched],
      ["edge", newKey],
    ] as const;
    for (const [index, [which, keys]] of steps.entries()) {
      await restart(which, keys);
      const user = `user-${index}`;
      await eventually(async () => {
        const written = await ask(edge, key, "POST", "/api/batch", [{ inserts: [isReader(user)] }]);
        expect([which, keys, written.status]).toEqual([which, keys, 200]);
      });
      await eventually(async () =>
        expect([which, keys, await mayReadOver(edge, key, user)]).toEqual([which, keys, true]),
      );
    }
  }));
