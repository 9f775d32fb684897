/**
 * A primary that starts on an empty directory because its volume is not mounted: no node takes over its empty history,
 * the log names the problem, and only an approval of that history changes it. If it can reach its peers, such a primary
 * does not start at all.
 */
import * as Bun from "bun";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { Aedes } from "aedes";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort } from "../../scripts/node-process.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { approve } from "../../src/replication/history-notes.ts";
import { drainRead } from "../../src/replication/transport/embedded-broker-stream.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import type { Node } from "../../src/replication/node.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { importSnapshot } from "../../src/replication/snapshots/import-snapshot.ts";
import { restore } from "../../src/replication/backup/restore.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { buildSnapshotInWorker } from "../../src/replication/snapshots/snapshot-jobs.ts";
import { realSystem } from "../../src/replication/system.ts";
import { historyOf, currentStorePath } from "../../src/store/directory/data-directory.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  post,
  refusal,
  positionOf,
  unset,
  withCluster,
  type Cluster,
  type Running,
} from "../replication/cluster.ts";
import { withCapturedLog } from "../replication/captured-log.ts";

setDefaultTimeout(90_000);

const { head } = topicsOf("ostiary/v1", "test");

const quick = {
  "advanced.headIntervalMs": "100ms",
  "advanced.brokerSilenceMsMax": "400ms",
  "advanced.pollIntervalMs": "200ms",
  "advanced.retryDelayMsMax": "100ms",
  "advanced.peerCheckIntervalMs": "200ms",
};
const nodeKeyHash = hashKey(nodeKey);
const emptied = "emptied";

interface Scene {
  readonly port: string;
  readonly primary: Running<PrimaryNode>;
  readonly history: string;
}

/** A primary with a fact that allows an action, at a port that it will use again. */
async function filled(cluster: Cluster, flags: Record<string, string> = {}): Promise<Scene> {
  const port = String(await freePort());
  const primary = await cluster.primary({ port, ...flags });
  await loadPolicy(primary.node);
  await insert(primary.node, "ann");
  return { port, primary, history: historyIn(primary.data) };
}

function historyIn(data: string): string {
  return must(historyOf(must(currentStorePath(data))));
}

/** The same primary without its volume. */
function startEmpty(cluster: Cluster, port: string, flags: Record<string, string> = {}): Promise<Running<PrimaryNode>> {
  return cluster.primary({ port, data: join(cluster.directory, emptied), ...flags });
}

async function readiness({ url }: Running<Node>): Promise<{ status: number; degraded?: string }> {
  const response = await fetch(`${url}/readyz`);
  const { degraded } = (await response.json()) as { degraded?: string };
  return { status: response.status, ...(degraded === undefined ? {} : { degraded }) };
}

async function alerted(node: Running<Node>, foreign: string): Promise<void> {
  await eventually(async () => {
    const { status, degraded } = await readiness(node);
    expect([status, degraded]).toEqual([503, expect.stringContaining(foreign)]);
  });
}

describe("nodes of the older history", () => {
  test("keep it, report it, and take over the new one only with an approval of that one", () =>
    withCapturedLog((lines) =>
      withCluster(async (cluster) => {
        const { port, primary, history } = await filled(cluster);
        const edge = await cluster.edge("edge", primary);
        const fallback = await cluster.fallback(primary);
        const replicating = await cluster.fallback(primary, {
          data: join(cluster.directory, "replicating"),
          follow: "true",
        });
        const replicas = [edge, fallback, replicating];
        for (const { node } of replicas) await converged(node, primary.node);
        const before = positionOf(edge.node);
        await primary.stop();

        const empty = await startEmpty(cluster, port);
        const foreign = historyIn(empty.data);
        expect(foreign).not.toBe(history);
        // Before the edge knows the new history, its writes contain the id of their history.
        const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
        const init = { method: "POST", headers: { ...headers, "Ostiary-History": history }, body: "[]" };
        expect((await fetch(`${empty.url}/api/batch`, init)).status).toBe(503);
        for (const node of replicas) {
          await alerted(node, foreign);
          expect(positionOf(node.node)).toEqual(before);
          expect(mayRead(node.node, "ann")).toBe(true);
          expect(node.node.health().ok).toBe(true);
        }
        // The requests of the edge contain the id of its history.
        await alerted(empty, history);
        expect(await renderMetrics()).toMatch(/^ostiary_foreign_history 1$/m);
        const told = lines.filter((line) => line.includes("has another history"));
        expect(told.join("")).toContain(`ostiary adopt-history ${foreign} --data ${edge.data}`);
        expect(told.filter((line) => line.includes(` --data ${edge.data}`))).toHaveLength(1);
        // A write at the edge never goes into a history that the edge does not have.
        const written = await post(edge.url, "/api/batch", [{ inserts: [] }]);
        expect(written.status).toBe(503);
        expect(await written.text()).toContain("the primary has another history");

        approve(edge.data, "adopt-history", "0123456789abcdef");
        await Bun.sleep(500);
        expect(positionOf(edge.node)).toEqual(before);
        await restarted(cluster, edge, empty, before, foreign);
      }, quick),
    ));

  /** A restart does not change that; an approval does, once. */
  async function restarted(
    cluster: Cluster,
    edge: Running<Node>,
    empty: Running<PrimaryNode>,
    before: object,
    foreign: string,
  ): Promise<void> {
    await edge.stop();
    const again = await cluster.edge("edge", empty);
    await alerted(again, foreign);
    expect(positionOf(again.node)).toEqual(before as never);
    approve(again.data, "adopt-history", foreign);
    await converged(again.node, empty.node);
    expect(mayRead(again.node, "ann")).toBe(false);
    await eventually(() => expect(readdirSync(again.data)).toContain("previous-history.db"));
    await eventually(() => expect(storesIn(again.data)).toEqual(["store-2.db"]));
    expect(existsSync(join(again.data, "adopt-history"))).toBe(false);
    expect(existsSync(join(again.data, "refused-history"))).toBe(false);
    expect(readFileSync(join(again.data, "history"), "utf8")).toBe(foreign);
    expect((await readiness(again)).degraded).toBeUndefined();
  }

  test("that lost their database, or whose database is damaged, keep their history as well", () =>
    withCluster(async (cluster) => {
      const { port, primary, history } = await filled(cluster);
      const edges = [await cluster.edge("lost", primary), await cluster.edge("damaged", primary)];
      for (const edge of edges) await converged(edge.node, primary.node);
      for (const edge of edges) await edge.stop();
      await primary.stop();
      const [lost, damaged] = edges.map(({ data }) => data) as [string, string];
      for (const name of readdirSync(lost)) if (name.startsWith("store-")) rmSync(join(lost, name));
      writeFileSync(join(damaged, "store-1.db"), "no database");

      const empty = await startEmpty(cluster, port);
      const again = [await cluster.edge("lost", empty), await cluster.edge("damaged", empty)];
      for (const edge of again) {
        await alerted(edge, historyIn(empty.data));
        expect(edge.node.health()).toMatchObject({ ok: false, epoch: null });
      }
      await empty.stop();
      // The volume is back.
      const back = await cluster.primary({ port });
      for (const edge of again) {
        await converged(edge.node, back.node);
        expect(historyIn(edge.data)).toBe(history);
      }
    }, quick));

  test("accept a primary with a common beginning: a restored one, and an edge that replaces the empty one", () =>
    withCluster(async (cluster) => {
      const ports = [String(await freePort()), String(await freePort())] as const;
      const peers = ports.map((port) => `http://127.0.0.1:${port}`).join();
      const { port, primary } = await filled(cluster);
      const url = { url: `http://127.0.0.1:${port}` };
      const first = await cluster.promotable("first", { primary: url.url, peers, port: ports[0] });
      const second = await cluster.edge("second", url, { peers, port: ports[1] });
      await eventually(async () => expect((await readiness(first as never)).status).toBe(200));
      await converged(second.node, primary.node);
      const file = join(cluster.directory, "backup");
      await backUp({
        ...making,
        target: file,
        write: backupWriter(must(currentStorePath(primary.data)), () => {}, nodeKeyHash),
      });
      await primary.stop();
      const empty = await startEmpty(cluster, port);
      await alerted(second, historyIn(empty.data));
      // The operator did not wait for the volume.
      await eventually(async () => {
        const promoted = await post(first.url, "/api/promote", {});
        expect([promoted.status, await promoted.json()]).toEqual([200, expect.anything()]);
      });
      expect((await post(first.url, "/api/batch", [{ inserts: [readerOf("bob")] }])).status).toBe(200);
      await eventually(() => expect(mayRead(second.node, "bob")).toBe(true));
      await empty.stop();

      const data = join(cluster.directory, "restored");
      await restore({ ...making, file, directory: data, ...restoring });
      expect(historyIn(data)).toBe(historyIn(second.data));
    }, quick));

  test("refuse a snapshot file of another history, and accept it with an approval", () =>
    withCluster(async (cluster) => {
      const { primary, history } = await filled(cluster);
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      await edge.stop();
      const other = await startEmpty(cluster, "0");
      const foreign = historyIn(other.data);
      const { path: file } = await buildSnapshotInWorker(
        realSystem,
        must(currentStorePath(other.data)),
        cluster.directory,
        nodeKeyHash,
      );
      const give = () => importSnapshot({ ...importing, file, data: edge.data });
      expect((await refusal(give())).message).toContain(`has another history (${foreign}) than this node (${history})`);
      // It still knows its history without its database.
      renameSync(join(edge.data, "store-1.db"), join(edge.data, "kept"));
      expect((await refusal(give())).message).toContain(foreign);
      const started = await cluster.edge("edge", primary, { import: file });
      await converged(started.node, primary.node);
      await started.stop();
      approve(edge.data, "adopt-history", foreign);
      expect((await give()).previous).toEndWith("previous-history.db");
      expect(historyIn(edge.data)).toBe(foreign);
      expect(existsSync(join(edge.data, "adopt-history"))).toBe(false);
    }, quick));
});

const making = { limits: defaultLimits, onStep: () => {}, warn: () => {} };
const restoring = {
  ...{ target: undefined, force: false, dryRun: false, knownTerm: 0 },
  ...{ nodeKeyHashes: [nodeKeyHash] as const, allowUnauthenticated: false },
};
const importing = {
  force: true,
  limits: defaultLimits,
  nodeKeyHashes: [nodeKeyHash],
  allowUnauthenticated: false,
} as const;

function storesIn(data: string): string[] {
  return readdirSync(data).filter((name) => /^store-\d+\.db$/.test(name));
}

const readerOf = (id: string) => ({
  predicate: "has_role",
  args: [
    { type: "User", id },
    { type: "String", id: "reader" },
    { type: "Repo", id: "main" },
  ],
});

test("the commands for approvals print their effect, and refuse approvals without an effect", () =>
  withCluster(async (cluster) => {
    const { primary, history } = await filled(cluster);
    const { data } = primary;
    const binary = await builtBinary();
    const run = (...parameters: string[]) => {
      const { exitCode, stdout, stderr } = Bun.spawnSync([binary, ...parameters], { env: { OSTIARY_DATA: data } });
      return [exitCode, `${stdout.toString()}${stderr.toString()}`];
    };
    const other = "0123456789abcdef";
    expect(run("adopt-history", history)).toEqual([1, expect.stringContaining(`has the history ${history} already`)]);
    expect(run("adopt-history", "any")).toEqual([2, expect.stringContaining("`any` is not the id of a history")]);
    expect(run("adopt-history", other, "--data", "absent")).toEqual([2, expect.stringContaining("does not exist")]);
    expect(run("abandon-history", other)).toEqual([1, expect.stringContaining("has a database")]);
    expect(existsSync(join(data, "adopt-history"))).toBe(false);
    // While the node runs.
    expect(run("adopt-history", other)).toEqual([0, expect.stringContaining(`${other} instead of ${history}`)]);
    expect(readFileSync(join(data, "adopt-history"), "utf8")).toBe(other);
    expect(statSync(join(data, "adopt-history")).mode & 0o777).toBe(0o600);
    writeFileSync(join(data, "refused-history"), "fedcba9876543210");
    expect(run("adopt-history", other)).toEqual([1, expect.stringContaining("refused the history fedcba9876543210")]);
    const empty = join(cluster.directory, "nothing", "yet");
    expect(run("abandon-history", other, "--data", empty)).toEqual([0, expect.stringContaining(other)]);
    expect(readFileSync(join(empty, "abandon-history"), "utf8")).toBe(other);
  }));

describe("a database that a snapshot replaces", () => {
  test("stays until another node confirms the new one, and is used if the new one is damaged", () =>
    withCluster(async (cluster) => {
      const { port, primary } = await filled(cluster);
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      await edge.stop();
      const { path: file } = await buildSnapshotInWorker(
        realSystem,
        must(currentStorePath(primary.data)),
        cluster.directory,
        nodeKeyHash,
      );
      await importSnapshot({ ...importing, file, data: edge.data });
      await primary.stop();
      const alone = await cluster.edge("edge", { url: `http://127.0.0.1:${port}` });
      expect(storesIn(edge.data).toSorted()).toEqual(["store-1.db", "store-2.db"]);
      await alone.stop();
      writeFileSync(join(edge.data, "store-2.db"), "no database");
      const back = await cluster.edge("edge", { url: `http://127.0.0.1:${port}` });
      expect(mayRead(back.node, "ann")).toBe(true);
      expect(storesIn(edge.data)).toEqual(["store-1.db"]);
      expect(readdirSync(edge.data)).toContain("store-2.db.damaged");
      await back.stop();
      // After the confirmation it is the only one.
      await importSnapshot({ ...importing, file, data: edge.data });
      expect(storesIn(edge.data)).toHaveLength(2);
      const there = await cluster.primary({ port });
      const proven = await cluster.edge("edge", there);
      await converged(proven.node, there.node);
      await eventually(() => expect(storesIn(edge.data)).toEqual(["store-2.db"]));
    }, quick));
});

describe("a primary without a database", () => {
  test("does not start if a peer has an older history, unless that one is abandoned, once", () =>
    withCluster(async (cluster) => {
      const { port, primary, history } = await filled(cluster);
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      await primary.stop();
      const dead = `http://127.0.0.1:${await freePort()}`;
      const start = () => startEmpty(cluster, port, { peers: `${dead},${edge.url}`, nodeId: unset });
      const data = join(cluster.directory, emptied);
      const { message } = await refusal(start());
      for (const told of [edge.url, history, data, "Is a volume not mounted?", "restore", "promote", "abandon-history"])
        expect(message).toContain(told);
      expect(readdirSync(data)).toEqual(["lock"]);
      approve(data, "abandon-history", "0123456789abcdef");
      expect((await refusal(start())).message).toContain("0123456789abcdef is abandoned does not help");
      approve(data, "abandon-history", history);
      const started = await start();
      expect(historyIn(data)).not.toBe(history);
      expect(existsSync(join(data, "abandon-history"))).toBe(false);
      await started.stop();
      // The volume is lost a second time.
      rmSync(data, { recursive: true });
      expect((await refusal(start())).message).toContain(history);
    }, quick));

  test("does not start if its own directory had one, and starts if no node has one", () =>
    withCluster(async (cluster) => {
      const { port, primary, history } = await filled(cluster);
      await primary.stop();
      for (const name of storesIn(primary.data)) rmSync(join(primary.data, name));
      expect((await refusal(cluster.primary({ port }))).message).toContain(`notes has the history ${history}`);
      const fresh = await startEmpty(cluster, port, { peers: `http://127.0.0.1:${await freePort()}` });
      expect(fresh.node.health().ok).toBe(true);
    }, quick));

  test("does not start if an external broker has retained a head of an older one with a valid MAC", () =>
    withBroker((broker, retained) =>
      withCluster(async (cluster) => {
        const { port, primary, history } = await filled(cluster, { broker });
        await retained();
        await primary.stop();
        const { message } = await refusal(startEmpty(cluster, port, { broker }));
        expect(message).toContain(`the broker 127.0.0.1:${new URL(broker).port} has the history ${history}`);
        // A head of another environment, or with another node key, is ignored.
        for (const flags of [{ environment: "other", adminKey: "" }, { nodeKey: "n_test_another-key-of-others" }]) {
          const other = await startEmpty(cluster, port, { broker, ...flags, data: join(cluster.directory, "other") });
          await other.stop();
          rmSync(other.data, { recursive: true });
        }
        // A broker that is down or hangs does not prevent its start.
        const hanging = createServer(() => {}).listen(0, "127.0.0.1");
        const urls = [
          `mqtt://127.0.0.1:${await freePort()}`,
          `mqtt://127.0.0.1:${(hanging.address() as AddressInfo).port}`,
        ];
        await (await startEmpty(cluster, port, { broker: urls.join() })).stop();
        hanging.close();
      }, quick),
    ));

  test("that was started anyway does not stop the right one when it is back", () =>
    withBroker((broker, retained) =>
      withCluster(async (cluster) => {
        const { port, primary } = await filled(cluster);
        await primary.stop();
        const empty = await startEmpty(cluster, "0", { broker });
        await retained();
        await empty.stop();
        const back = await cluster.primary({ port, broker });
        await eventually(() => expect(back.node.health().isBrokerConnected).toBe(true));
        await insert(back.node, "bob");
        expect(back.node.health()).toMatchObject({ state: "PRIMARY", ok: true });
        const edge = await cluster.edge("edge", back, { broker });
        await converged(edge.node, back.node);
        expect(mayRead(edge.node, "bob")).toBe(true);
      }, quick),
    ));

  test("of a development node or a copied directory starts as usual", () =>
    withCluster(async (cluster) => {
      const { primary, history } = await filled(cluster);
      await primary.stop();
      const copied = join(cluster.directory, "copied");
      cpSync(primary.data, copied, { recursive: true, filter: (path) => !path.endsWith("-shm") });
      rmSync(join(copied, "lock"));
      const again = await cluster.primary({ data: copied });
      expect(historyIn(copied)).toBe(history);
      expect(mayRead(again.node, "ann")).toBe(true);
      expect((await post(again.url, "/api/batch", [{ inserts: [readerOf("cyd")] }], adminKey)).status).toBe(200);
    }));
});

/** `retained` resolves when the broker has a head for later subscribers. */
async function withBroker(body: (url: string, retained: () => Promise<void>) => Promise<void>): Promise<void> {
  const broker = await Aedes.createBroker();
  let heads = 0;
  broker.on("publish", ({ topic, retain }) => void (heads += retain && topic === head ? 1 : 0));
  const retained = (): Promise<void> => eventually(() => expect(heads).toBeGreaterThan(0));
  const server = createServer((socket) => broker.handle(drainRead(socket)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await body(`mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, retained);
  } finally {
    await new Promise<void>((resolve) => broker.close(() => resolve()));
    server.close();
  }
}
