/**
 * When an edge verifies the digest of the snapshot with which it begins. A large snapshot with a valid MAC answers before
 * that; if the digest is wrong, it no longer answers, and what replaces it is verified before it answers.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSnapshotInWorker, snapshotWorker } from "../../src/replication/snapshots/snapshot-jobs.ts";
import { writerWorker, type WriterCommands } from "../../src/log/writer/writer-commands.ts";
import type { WriterEvent } from "../../src/log/writer/store-writer.ts";
import { realSystem } from "../../src/replication/system.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { type ClusterSystem, realClusterSystem } from "../../src/roles/cluster-system.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { must } from "../../src/util/assert.ts";
import { secondCheckThreadBytes } from "../../src/util/tuning.ts";
import { tamper } from "../hostile/tampered.ts";
import {
  type Cluster,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  reader,
  type Running,
  untraced,
  withCluster,
} from "./cluster.ts";

setDefaultTimeout(90_000);

const nodeKeyHash = hashKey(nodeKey);
const filler = `INSERT INTO answered (request, offset, inserted, deleted) VALUES (hex(zeroblob(${secondCheckThreadBytes / 2})), 1, 0, 0)`;
/** A fact that the digest does not have: Bob's was deleted. */
const forged = "INSERT INTO fact_1 SELECT (SELECT id FROM symbol WHERE value = 'bob'), a2, a3 FROM fact_1 LIMIT 1";

let directory = "";
/** Files of the same primary, which knows Ann. */
const files = { small: "", sound: "", wrong: "", unsigned: "" };

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "ostiary-digest-"));
  await withPrimary(async (_cluster, { node, data }) => {
    await loadPolicy(node);
    await insert(node, "ann", "bob");
    await node.writes.batch([{ deletes: [reader("bob")] }], untraced);
    files.small = (await buildSnapshotInWorker(realSystem, must(currentStorePath(data)), directory, nodeKeyHash)).path;
  });
  const make = (name: string, sql: string, key: { readonly nodeKeyHash?: string }) =>
    tamper(files.small, join(directory, name), { sql, ...key });
  files.sound = await make("sound", filler, { nodeKeyHash });
  files.wrong = await make("wrong", `${filler};;${forged}`, { nodeKeyHash });
  files.unsigned = await make("unsigned", `${filler};;${forged}`, {});
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** All tests have a primary with the same data. */
function withPrimary(body: (cluster: Cluster, primary: Running<PrimaryNode>) => Promise<void>): Promise<void> {
  return withCluster(async (cluster) => body(cluster, await cluster.primary({ data: join(directory, "primary") })));
}

/**
 * A system that records the commands to snapshot threads, and lets digests of databases in use be verified when told.
 * With `mayAdopt`, the audit log of a replaced database is taken over only then.
 */
function watchedSystem(mayAdopt?: Promise<void>) {
  const commands: string[] = [];
  const mayVerify = Promise.withResolvers<void>();
  const verified = Promise.withResolvers<void>();
  const spawnWorker = ((kind: Parameters<typeof realSystem.spawnWorker>[0]) => {
    if (kind === writerWorker && mayAdopt !== undefined) {
      const writer = realSystem.spawnWorker<WriterCommands, WriterEvent>(writerWorker);
      const call = writer.call.bind(writer) as (...parameters: unknown[]) => Promise<unknown>;
      const slow = (command: string, ...parameters: unknown[]): Promise<unknown> =>
        command === "adoptAudit" ? mayAdopt.then(() => call(command, ...parameters)) : call(command, ...parameters);
      return Object.assign(writer, { call: slow });
    }
    if (kind !== snapshotWorker) return realSystem.spawnWorker(kind);
    const worker = realSystem.spawnWorker<Record<string, (...parameters: unknown[]) => unknown>, never>(kind);
    const call = async (command: string, ...parameters: unknown[]) => {
      commands.push(command);
      if (command !== "auditDigest") return worker.call(command, ...parameters);
      await mayVerify.promise;
      return worker.call(command, ...parameters).finally(verified.resolve);
    };
    return { call, stop: () => worker.stop() };
  }) as unknown as typeof realSystem.spawnWorker;
  const system: ClusterSystem = { ...realClusterSystem, spawnWorker };
  return { system, commands, letVerify: mayVerify.resolve, verified: verified.promise };
}

/** A way to the primary on which somebody sends another snapshot, and counts how often. */
interface SnapshotWay {
  url: string;
  /** The path of the snapshot. */
  file: string;
  sent: number;
}

async function withSnapshots(
  primary: { readonly url: string },
  body: (way: SnapshotWay) => Promise<void>,
): Promise<void> {
  const way: SnapshotWay = { url: "", file: "", sent: 0 };
  await using server = Bun.serve({
    port: 0,
    fetch(request): Response | Promise<Response> {
      const { pathname, search } = new URL(request.url);
      if (!pathname.endsWith("/snapshot")) return fetch(new Request(`${primary.url}${pathname}${search}`, request));
      way.sent += 1;
      return new Response(readFileSync(way.file));
    },
  });
  way.url = `http://127.0.0.1:${server.port}`;
  await body(way);
}

test("a large snapshot with a valid MAC answers before its digest is verified, but not if that is wrong", () =>
  withPrimary((cluster, primary) =>
    withSnapshots(primary, async (way) => {
      way.file = files.wrong;
      const { system, commands, letVerify } = watchedSystem();
      const { node } = await cluster.edge("edge", way, {}, system);
      await eventually(() => expect(commands).toContain("auditDigest"));
      expect([mayRead(node, "ann"), mayRead(node, "bob")]).toEqual([true, true]);
      letVerify();
      await eventually(() => expect(node.health()).toMatchObject({ ok: false, state: "DIVERGED" }));
      // What replaces it is verified first, and refused.
      await eventually(() => expect(way.sent).toBeGreaterThan(2));
      expect(() => node.engine()).toThrow("it waits for a fresh one");
      expect(commands.filter((command) => command === "auditDigest")).toHaveLength(1);
      way.file = files.sound;
      await eventually(() => expect([mayRead(node, "ann"), mayRead(node, "bob")]).toEqual([true, false]));
      expect(commands.filter((command) => command === "auditDigest")).toHaveLength(1);
    }),
  ));

test("a wrong digest counts, however early it is found", () =>
  withPrimary((cluster, primary) =>
    withSnapshots(primary, async (way) => {
      way.file = files.wrong;
      const mayAdopt = Promise.withResolvers<void>();
      const { system, letVerify } = watchedSystem(mayAdopt.promise);
      const { node } = await cluster.edge("edge", way, {}, system);
      letVerify();
      await eventually(() => expect(node.health()).toMatchObject({ ok: false, state: "DIVERGED" }));
      mayAdopt.resolve();
      await eventually(() => expect(way.sent).toBeGreaterThan(2));
      expect(() => node.engine()).toThrow("it waits for a fresh one");
    }),
  ));

test("a large snapshot with a valid MAC and the right digest stays in use", () =>
  withPrimary((cluster, primary) =>
    withSnapshots(primary, async (way) => {
      way.file = files.sound;
      const { system, commands, letVerify, verified } = watchedSystem();
      const { node } = await cluster.edge("edge", way, {}, system);
      await eventually(() => expect(commands).toContain("auditDigest"));
      const engine = node.engine();
      letVerify();
      await verified;
      expect(node.engine()).toBe(engine);
      expect([mayRead(node, "ann"), mayRead(node, "bob"), way.sent]).toEqual([true, false, 1]);
    }),
  ));

test("a large snapshot without a MAC answers nothing before its digest is verified", () =>
  withPrimary((cluster, primary) =>
    withSnapshots(primary, async (way) => {
      way.file = files.unsigned;
      const { system, commands } = watchedSystem();
      const { node } = await cluster.edge("edge", way, {}, system);
      await eventually(() => expect(way.sent).toBeGreaterThan(1));
      expect(node.health()).toMatchObject({ ok: false, epoch: null });
      expect(commands).toContain("read");
      expect(commands).not.toContain("auditDigest");
    }),
  ));

test("a small snapshot answers nothing before its digest is verified", () =>
  withPrimary((cluster, primary) =>
    withSnapshots(primary, async (way) => {
      way.file = files.small;
      const { system, commands } = watchedSystem();
      const { node } = await cluster.edge("edge", way, {}, system);
      await eventually(() => expect([mayRead(node, "ann"), mayRead(node, "bob")]).toEqual([true, false]));
      expect(commands).not.toContain("auditDigest");
    }),
  ));
