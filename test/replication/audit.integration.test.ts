/** The audit log survives what the log of events does not: failovers, snapshots, restores, point-in-time recovery. */
import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { restore, type RestoreOptions } from "../../src/replication/backup/restore.ts";
import type { Node } from "../../src/replication/node.ts";
import { decodeBatch } from "../../src/replication/transport/messages.ts";
import { connectNode } from "../../src/replication/transport/node-client.ts";
import { forwardedClientMac } from "../../src/replication/transport/forwarded-client.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { type ClusterSystem, realClusterSystem } from "../../src/roles/cluster-system.ts";
import { hashKey, readNodeSetting } from "../../src/store/keys/api-keys.ts";
import { createAuditRecorder } from "../../src/replication/audit/audit-recorder.ts";
import { noteAction, notedActions } from "../../src/store/directory/noted-actions.ts";
import { type AuditEntry, auditEntry, operator } from "../../src/store/log/audit-entry.ts";
import { addAuditEntries } from "../../src/store/log/audit-log.ts";
import { must } from "../../src/util/assert.ts";
import { type Clock, sleep, systemClock } from "../../src/util/clock.ts";
import { freePort } from "../../scripts/node-process.ts";
import { wildcardPolicy } from "../http/api.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  nodeKey,
  post,
  withCluster,
  withDirectory,
  type Running,
} from "./cluster.ts";

const fast = { "advanced.auditExchangeIntervalMs": "100ms" };
/** No exchange happens during a test. */
const never = { "advanced.auditExchangeIntervalMs": "1h" };

const entriesOf = (node: Node): readonly AuditEntry[] => node.audit.read({}, { size: 1000 }).entries.toReversed();
/** Without the downloads of snapshots, by which edges begin. */
const actionsOf = (node: Node): string[] =>
  entriesOf(node).flatMap(({ action, target }) => (action === "snapshot.download" ? [] : [`${action} ${target}`]));
const withoutDownloads = (entries: readonly AuditEntry[]) =>
  entries.filter(({ action }) => action !== "snapshot.download");
const upload = ({ url }: { url: string }, src = wildcardPolicy): Promise<Response> => post(url, "/api/policy", { src });

test("an edge has the entry of a change as soon as it has the change, also after a catch-up", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = await cluster.edge("edge", primary);
    await eventually(() => converged(edge.node, primary.node));
    await upload(primary);
    await converged(edge.node, primary.node);
    expect(actionsOf(edge.node)).toEqual(["key.create admin", "policy.upload 1"]);
    expect(withoutDownloads(entriesOf(edge.node))).toEqual(withoutDownloads(entriesOf(primary.node)));
    await edge.stop();
    await upload(primary, "actor User {}");
    const again = await cluster.edge("edge", primary);
    await converged(again.node, primary.node);
    expect(actionsOf(again.node)).toEqual(["key.create admin", "policy.upload 1", "policy.upload 2"]);
  }, never));

test("a change that is not committed has no entry, and one without an entry is not committed", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await upload(primary);
    const writes = [
      post(primary.url, "/api/policy", { src: "actor User {" }),
      post(primary.url, "/api/keys", { name: "a", role: "read" }),
      post(primary.url, "/api/clear_data", null),
    ];
    await Promise.all(writes);
    await eventually(() => expect(entriesOf(primary.node)).toHaveLength(5));
    const store = openStore(must(currentStorePath(primary.data)), { readonly: true });
    const offsets = store.statement("SELECT offset FROM log WHERE kind IN ('policy', 'keys', 'clear') ORDER BY offset");
    const recorded = entriesOf(primary.node).flatMap(({ offset }) => (offset === null ? [] : [offset]));
    expect(recorded.toSorted((a, b) => a - b)).toEqual(offsets.values().map(([offset]) => Number(offset)));
    store.close();
  }));

test("a promotion is recorded with who asked for it, and entries of the old primary arrive at the new one", () =>
  withCluster(async (cluster) => {
    const port = String(await freePort());
    const primary = await cluster.member({ peers: `http://127.0.0.1:${port}` });
    const edge = await cluster.promotable("edge", { primary: primary.url, port });
    await eventually(async () => expect((await fetch(`${edge.url}/readyz`)).status).toBe(200));
    await upload(primary);
    expect((await post(edge.url, "/api/promote", {})).status).toBe(409);
    await eventually(async () => {
      const promoted = await post(edge.url, "/api/promote", { graceful: true });
      expect(promoted.status).toBe(200);
    });
    const audit = async (url: string) => {
      const headers = { authorization: `Bearer ${adminKey}` };
      const { entries } = (await (await fetch(`${url}/api/audit`, { headers })).json()) as {
        entries: { action: string; result: string; target: string; details: object; node: string; actor: object }[];
      };
      return entries;
    };
    const [promotion] = await audit(edge.url);
    expect(promotion).toMatchObject({
      ...{ action: "node.promote", result: "ok", target: "edge", node: "edge" },
      details: { force: false, graceful: true, automatic: false },
      actor: { kind: "key", id: "admin" },
    });
    await eventually(async () => {
      const seen = (await audit(edge.url)).map(({ action, result }) => `${action} ${result}`);
      expect(seen).toContain("policy.upload ok");
      expect(seen).toContain("node.promote refused");
    });
    await eventually(async () => expect(await audit(primary.url)).toEqual(await audit(edge.url)));
  }, fast));

describe("entries that only one node has", () => {
  /** As if the node had recorded it while it could reach nobody. */
  const addTo = (data: string, target: string): void => {
    const store = openStore(must(currentStorePath(data)));
    const actor = { kind: "operator", id: null, name: null };
    const entry = auditEntry({ actor, action: "backup.download", target }, { node: "x", timeMs: Date.now() });
    addAuditEntries(store, [entry], { received: false });
    store.close();
  };

  test("arrive at the primary, and from there at all nodes", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edges = [await cluster.edge("edge-a", primary), await cluster.edge("edge-b", primary)];
      for (const { node } of edges) await eventually(() => converged(node, primary.node));
      await must(edges[0]).stop();
      addTo(must(edges[0]).data, "alone");
      const again = await cluster.edge("edge-a", primary);
      const nodes: Running<Node>[] = [primary, again, must(edges[1])];
      for (const { node } of nodes) await eventually(() => expect(actionsOf(node)).toContain("backup.download alone"));
      for (const { node } of nodes) expect(new Set(actionsOf(node)).size).toBe(actionsOf(node).length);
    }, fast));

  test("are looked for in new entries only, however many there are", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edge = await cluster.edge("edge", primary);
      await eventually(() => converged(edge.node, primary.node));
      await edge.stop();
      const store = openStore(must(currentStorePath(edge.data)));
      const actor = { kind: "operator", id: null, name: null };
      const entries = Array.from({ length: 3000 }, () =>
        auditEntry({ actor, action: "backup.download" }, { node: "primary", timeMs: Date.now() }),
      );
      store.transaction(() => addAuditEntries(store, entries, { received: true }), "immediate");
      store.close();
      const again = await cluster.edge("edge", primary);
      await eventually(() => {
        const reader = openStore(must(currentStorePath(edge.data)), { readonly: true });
        const [, seq] = (readNodeSetting(reader, "audit_sent") ?? "").split(" ");
        reader.close();
        expect(Number(seq)).toBeGreaterThanOrEqual(3000);
      });
      await fetch(`${again.url}/api/backup`, { headers: { authorization: "Bearer x" } });
      await eventually(() =>
        expect(entriesOf(primary.node)).toContainEqual(
          expect.objectContaining({ action: "backup.download", result: "refused", node: "edge" }),
        ),
      );
    }, fast));

  test("survive a snapshot that replaces the database", () =>
    withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge", primary);
        await eventually(() => converged(edge.node, primary.node));
        await edge.stop();
        addTo(edge.data, "alone");
        const path = currentStorePath(edge.data);
        // The log is trimmed behind the edge, so that it takes a snapshot.
        for (let user = 0; user < 40; user++) await insert(primary.node, `u${user}`);
        const again = await cluster.edge("edge", primary);
        await converged(again.node, primary.node);
        await eventually(() => expect(actionsOf(again.node)).toContain("backup.download alone"));
        expect(currentStorePath(edge.data)).not.toBe(path);
        await eventually(() => expect(actionsOf(primary.node)).toContain("backup.download alone"));
        await eventually(() => expect(entriesOf(again.node)).toEqual(entriesOf(primary.node)));
      },
      { ...fast, "retention.events": "10" },
    ));
});

test("an edge stops while its primary does not answer a request for the audit log", () =>
  withCluster(
    async (cluster) => {
      const primary = await cluster.primary();
      const asked = Promise.withResolvers<void>();
      const { clock, fetch } = realClusterSystem;
      const fetchUnlessAudit: ClusterSystem["fetch"] = (url, init) => {
        if (!url.includes("/replication/v1/audit")) return fetch(url, init);
        asked.resolve();
        return new Promise((_, reject) => init.signal?.addEventListener("abort", () => reject(new Error("aborted"))));
      };
      const connect: ClusterSystem["connectNode"] = (to) => connectNode(to, { clock, fetch: fetchUnlessAudit });
      const edge = await cluster.edge("edge", primary, {}, { ...realClusterSystem, connectNode: connect });
      await eventually(() => converged(edge.node, primary.node));
      await asked.promise;
      await edge.stop();
    },
    { ...fast, "advanced.logTimeoutMs": "1h" },
  ));

test("a fallback has the entries of its snapshot, and sends its own to the primary", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await upload(primary);
    const fallback = await cluster.fallback(primary);
    await eventually(() => expect(actionsOf(fallback.node)).toContain("policy.upload 1"));
    const headers = { authorization: "Bearer x" };
    await fetch(`${fallback.url}/api/backup`, { headers });
    await eventually(() =>
      expect(entriesOf(primary.node)).toContainEqual(
        expect.objectContaining({ action: "backup.download", result: "refused", node: "fallback" }),
      ),
    );
  }));

describe("after a restore", () => {
  const limits = defaultLimits;
  const onStep = (): void => {};
  const warn = (problem: string): never => {
    throw new Error(problem);
  };
  const options = (file: string, directory: string, more: Partial<RestoreOptions> = {}): RestoreOptions => ({
    ...{ file, directory, target: undefined, force: false, knownTerm: 0, dryRun: false, limits, onStep, warn },
    ...{ nodeKeyHashes: [hashKey(nodeKey)], allowUnauthenticated: false, operator: "root", ...more },
  });

  test("to a point in time it has all entries and the restore, and nothing refers to an undone event", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await upload(primary);
      const offset = must(primary.node.state()).offset;
      await upload(primary, "actor User {}");
      await post(primary.url, "/api/clear_data", null);
      await primary.stop();
      const file = join(cluster.directory, "a.backup");
      await backUp({
        target: file,
        write: backupWriter(must(currentStorePath(primary.data)), onStep, hashKey(nodeKey)),
        limits,
        onStep,
        warn,
      });
      const directory = join(cluster.directory, "restored");
      await restore(options(file, directory, { target: { offset } }));
      const restored = await cluster.primary({ data: directory });
      expect(actionsOf(restored.node).slice(0, 4)).toEqual([
        "key.create admin",
        "policy.upload 1",
        "policy.upload 2",
        "facts.clear null",
      ]);
      const last = entriesOf(restored.node).find(({ action }) => action === "restore");
      expect(last).toMatchObject({
        actor: { kind: "operator", name: "root" },
        target: expect.stringMatching(new RegExp(`:${offset}$`)),
        details: { file: "a.backup", undone: 2 },
      });
      // An edge that follows the log gets each entry once.
      const edge = await cluster.edge("edge", restored);
      await eventually(() => converged(edge.node, restored.node));
      expect(actionsOf(edge.node)).toEqual(actionsOf(restored.node));
    }));

  test("over data of a release without an audit log it has the entries of the backup, without a warning", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await upload(primary);
      const file = join(cluster.directory, "a.backup");
      const write = backupWriter(must(currentStorePath(primary.data)), onStep, hashKey(nodeKey));
      await backUp({ target: file, write, limits, onStep, warn });
      await primary.stop();
      const store = openStore(must(currentStorePath(primary.data)));
      store.exec("DROP TABLE audit");
      store.exec("PRAGMA user_version = 5");
      store.close();
      await restore(options(file, primary.data, { force: true }));
      const restored = await cluster.primary();
      expect(actionsOf(restored.node).slice(0, 2)).toEqual(["key.create admin", "policy.upload 1"]);
    }));

  test("over other data, and with an edge that saw more, nothing is lost", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await upload(primary);
      const edge = await cluster.edge("edge", primary);
      await eventually(() => converged(edge.node, primary.node));
      const file = join(cluster.directory, "a.backup");
      const write = backupWriter(must(currentStorePath(primary.data)), onStep, hashKey(nodeKey));
      await backUp({ target: file, write, limits, onStep, warn });
      await post(primary.url, "/api/keys", { name: "later", role: "read" });
      await converged(edge.node, primary.node);
      const before = actionsOf(edge.node);
      const { port } = new URL(primary.url);
      await primary.stop();
      await restore(options(file, primary.data, { force: true }));
      const forced = await cluster.primary({ port });
      expect(actionsOf(forced.node)).toEqual(expect.arrayContaining(before));
      await forced.stop();
      // The whole directory is lost, and only the edge has what happened after the backup.
      rmSync(primary.data, { recursive: true });
      await restore(options(file, primary.data, { knownTerm: 2 ** 40 }));
      const fresh = await cluster.primary({ port });
      expect(actionsOf(fresh.node)).not.toEqual(expect.arrayContaining(before));
      await eventually(() => expect(actionsOf(fresh.node)).toEqual(expect.arrayContaining(before)));
    }, fast));
});

test("refused requests hide no change and no download, and all changes are recorded", () =>
  withDirectory(async (directory) => {
    const stored: AuditEntry[] = [];
    const store = async (entries: readonly AuditEntry[]): Promise<void> => void stored.push(...entries);
    const reader = (): never => {
      throw new Error("nothing is read");
    };
    const recorder = createAuditRecorder({ id: "node", data: directory, clock: systemClock }, reader, store);
    const actor = { kind: "key", id: "admin", name: null };
    const unknown = { kind: "unknown", id: null, name: null };
    const refused = { result: "refused", code: "unauthorized" } as const;
    for (let index = 0; index < 100; index++) {
      recorder.record({ actor, action: "policy.upload" }, refused);
      for (let host = 0; host < 4; host++)
        recorder.record({ actor: unknown, action: "key.create", address: `10.0.${index}.${host}` }, refused);
    }
    recorder.record({ actor, action: "backup.download" });
    for (let index = 0; index < 60; index++)
      recorder.record({ actor, action: "environment.delete", target: `${index}` });
    await recorder.close();
    const countOf = (action: string): number => stored.filter((entry) => entry.action === action).length;
    expect(["backup.download", "environment.delete"].map(countOf)).toEqual([1, 60]);
    expect(countOf("policy.upload") + countOf("key.create")).toBeLessThan(250);
  }));

test("an action of a command is added while the node runs, also after a time without any", () =>
  withDirectory(async (directory) => {
    const timers: (() => void)[] = [];
    const clock: Clock = { ...systemClock, every: (_, body) => (timers.push(body), () => {}) };
    const stored: string[] = [];
    const store = async (entries: readonly AuditEntry[]): Promise<void> =>
      void stored.push(...entries.map(({ target }) => `${target}`));
    const reader = (): never => {
      throw new Error("nothing is read");
    };
    const recorder = createAuditRecorder({ id: "node", data: directory, clock }, reader, store);
    for (const target of ["first", "second"]) {
      for (const run of timers) run();
      await sleep(clock, 0);
      noteAction(directory, { actor: operator(), action: "history.adopt", target });
      for (const run of timers) run();
      await sleep(clock, 0);
    }
    expect(stored).toEqual(["first", "second"]);
    expect(notedActions(directory, "node")).toEqual([]);
    await recorder.close();
  }));

test("a batch with entries that are not understood is a batch without entries", () => {
  const hash = "0123456789abcdef";
  const batch = {
    v: 1,
    s: "test",
    e: hash,
    n: 1,
    t: 1,
    p: 0,
    l: 1,
    h: hash,
    d: hash,
    ev: [[1, 1, "facts", "{}", null]],
  };
  const actor = { kind: "key", id: "admin", name: "admin" };
  const entry = auditEntry({ actor, action: "policy.upload" }, { node: "primary", timeMs: 1 });
  const decoded = (au: unknown): unknown => {
    const result = decodeBatch(JSON.stringify({ ...batch, au }));
    return "message" in result ? result.message.au : result.problem;
  };
  expect(decoded([{ ...entry, later: "member" }])).toEqual([entry]);
  expect(decoded([{ ...entry, id: 7 }])).toBeUndefined();
  expect(decoded("none")).toBeUndefined();
});

test("the address that an edge names is valid for its request only", () => {
  const mac = forwardedClientMac([hashKey(nodeKey)]);
  const header = mac.sign({ node: "edge", address: "2001:db8::1" }, "request");
  expect(mac.verify(header, "request")).toEqual({ node: "edge", address: "2001:db8::1" });
  expect(mac.verify(mac.sign({ node: "edge", address: null }, "request"), "request")).toEqual({
    node: "edge",
    address: null,
  });
  const forged = [header.replace("::1", "::2"), header.replace("edge", "egde"), `${header} x`, header.slice(0, -1), ""];
  for (const each of forged) expect(mac.verify(each, "request")).toBeUndefined();
  expect(mac.verify(header, "another")).toBeUndefined();
  expect(forwardedClientMac([hashKey("n_another")]).verify(header, "request")).toBeUndefined();
});
