/**
 * Tampered backups, snapshots and databases: they are refused with the reason and the remedy before any part of them
 * runs or is written. And the permissions of the files of a node.
 */
import * as Bun from "bun";
import { beforeAll, afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort } from "../../scripts/node-process.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { restore, type RestoreOptions } from "../../src/replication/backup/restore.ts";
import { importSnapshot } from "../../src/replication/snapshots/import-snapshot.ts";
import { buildSnapshotInWorker } from "../../src/replication/snapshots/snapshot-jobs.ts";
import { realSystem } from "../../src/replication/system.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { requireKnownSchemaIn } from "../../src/store/integrity/schema-check.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { encodeHeader } from "../../src/store/snapshot/snapshot-header.ts";
import { openSnapshot } from "../../src/store/snapshot/snapshot.ts";
import { must } from "../../src/util/assert.ts";
import {
  converged,
  eventually,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  refusal,
  withCluster,
  withDirectory,
} from "../replication/cluster.ts";
import { changeDatabase, changes, tamper } from "./tampered.ts";

setDefaultTimeout(90_000);

const nodeKeyHash = hashKey(nodeKey);
const onStep = (): void => {};
const warn = (): void => {};
let directory = "";
/** Files of a sound node. */
const sound = { store: "", backup: "", snapshot: "" };

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "ostiary-tampered-"));
  await withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await insert(primary.node, "ann");
    const store = must(currentStorePath(primary.data));
    sound.backup = join(directory, "sound.backup");
    await backUp({ ...doing, target: sound.backup, write: backupWriter(store, onStep, nodeKeyHash) });
    sound.snapshot = (await buildSnapshotInWorker(realSystem, store, directory, nodeKeyHash)).path;
    await primary.stop();
    sound.store = join(directory, "sound.db");
    writeFileSync(sound.store, readFileSync(store));
  });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const doing = { limits: defaultLimits, onStep, warn };

function restoreFrom(file: string, options: Partial<RestoreOptions> = {}) {
  const usual = {
    target: undefined,
    force: false,
    dryRun: false,
    knownTerm: 0,
    nodeKeyHashes: [nodeKeyHash] as const,
    allowUnauthenticated: false,
  };
  return restore({ file, directory: mkdtempSync(join(directory, "restored-")), ...usual, ...doing, ...options });
}

describe.each(Object.entries(changes))("%s", (_name, [sql, named]) => {
  test("is refused in a backup and in a database, also with a valid MAC, and does not run", async () => {
    const file = await tamper(sound.backup, join(directory, "tampered.backup"), { sql, nodeKeyHash });
    const data = mkdtempSync(join(directory, "restored-"));
    const { message } = await refusal(restoreFrom(file, { directory: data }));
    expect(message).toContain(named);
    expect(message).toContain("Use a backup or a snapshot that a node has made");
    expect(message).not.toContain("\u001b");
    expect(readdirSync(data)).toEqual(["lock"]);
    const database = join(directory, "changed.db");
    writeFileSync(database, readFileSync(sound.store));
    changeDatabase(database, sql);
    const before = readFileSync(database);
    expect(() => requireKnownSchemaIn(database)).toThrow(named);
    expect(readFileSync(database).equals(before)).toBe(true);
  });
});

describe("a database with a trigger", () => {
  const [sql] = must(changes["a trigger that makes admins of all keys"]);

  test("is refused as a snapshot on all ways", () =>
    withCluster(async (cluster) => {
      const file = await tamper(sound.snapshot, join(directory, "tampered.zst"), { sql, nodeKeyHash });
      const given = { nodeKeyHashes: [nodeKeyHash] as const, allowUnauthenticated: true };
      const importing = { file, force: true, limits: defaultLimits, ...given };
      const data = join(cluster.directory, "imported");
      expect((await refusal(importSnapshot({ ...importing, data }))).message).toContain("trigger `grants`");
      let downloads = 0;
      const liar = Bun.serve({
        port: 0,
        fetch({ url }) {
          if (!url.endsWith("/snapshot")) return new Response("", { status: 404 });
          downloads += 1;
          return new Response(Bun.file(file));
        },
      });
      const edge = await cluster.edge("edge", { url: `http://127.0.0.1:${liar.port}` }, { import: file });
      // It tries again after it has refused the first one.
      await eventually(() => expect(downloads).toBeGreaterThan(1));
      expect(edge.node.health()).toMatchObject({ ok: false, epoch: null });
      await liar.stop(true);
    }));

  test("is refused at the start: a primary reports it, an edge downloads a sound one, a backup of it is refused", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      await edge.stop();
      changeDatabase(must(currentStorePath(edge.data)), sql);
      const again = await cluster.edge("edge", primary);
      await converged(again.node, primary.node);
      expect(mayRead(again.node, "ann")).toBe(true);
      await primary.stop();
      changeDatabase(must(currentStorePath(primary.data)), sql);
      expect((await refusal(cluster.primary())).message).toContain("it has the trigger `grants`");
      const write = backupWriter(must(currentStorePath(primary.data)), onStep, nodeKeyHash);
      const target = join(cluster.directory, "backup");
      expect((await refusal(backUp({ ...doing, target, write }))).message).toContain("trigger `grants`");
      expect(existsSync(target)).toBe(false);
    }));

  test("of an older format is not migrated first", () =>
    withDirectory(async (place) => {
      const old = join(import.meta.dirname, "..", "data-directories", "format-4", "primary");
      const data = join(place, "data");
      mkdirSync(data);
      for (const name of readdirSync(old)) {
        const bytes = readFileSync(join(old, name));
        writeFileSync(
          join(data, name.replace(/\.zst$/, "")),
          name.endsWith(".zst") ? Bun.zstdDecompressSync(bytes) : bytes,
        );
      }
      const path = must(currentStorePath(data));
      requireKnownSchemaIn(path);
      changeDatabase(path, sql);
      const file = join(place, "old.backup");
      expect((await refusal(backUp({ ...doing, target: file, write: backupWriter(path, onStep) }))).message).toContain(
        "grants",
      );
      expect(() => requireKnownSchemaIn(path)).toThrow("trigger `grants`");
      const database = new Database(path);
      expect(database.query("PRAGMA user_version").values()).toEqual([[4]]);
      database.close();
    }));
});

describe("the MAC of a backup", () => {
  test("is verified with the node key, and required unless it is waived", async () => {
    expect((await restoreFrom(sound.backup)).authenticity).toBe("verified");
    const unkeyed = restoreFrom(sound.backup, { nodeKeyHashes: undefined });
    expect((await refusal(unkeyed)).message).toContain("Put it into OSTIARY_NODE_KEY");
    const waived = { allowUnauthenticated: true };
    expect((await restoreFrom(sound.backup, { nodeKeyHashes: undefined, ...waived })).authenticity).toBe("unchecked");
    const older = await tamper(sound.backup, join(directory, "older.backup"), {});
    expect((await refusal(restoreFrom(older))).message).toContain("it has no MAC");
    expect((await restoreFrom(older, waived)).authenticity).toBe("absent");
  });

  test("is wrong if the content, the manifest or the key differs, and then no option helps", async () => {
    const otherKey = { nodeKeyHash: hashKey("another-node-key-of-others") };
    const revoke = "UPDATE api_key SET role = 'read'";
    const forged = await tamper(sound.backup, join(directory, "forged.backup"), { sql: revoke, ...otherKey });
    const { signed } = openSnapshot(sound.backup);
    const stale = await tamper(sound.backup, join(directory, "stale.backup"), { sql: revoke, nodeKeyHash });
    const bytes = readFileSync(stale);
    const at = bytes.indexOf(must(openSnapshot(stale).signed.mac));
    bytes.write(must(signed.mac), at);
    writeFileSync(stale, bytes);
    const renamed = await tamper(sound.backup, join(directory, "renamed.backup"), {
      manifest: { environment: "other" },
      ...otherKey,
    });
    for (const file of [forged, stale, renamed]) {
      for (const allowUnauthenticated of [false, true]) {
        const { message } = await refusal(restoreFrom(file, { allowUnauthenticated }));
        expect(message).toContain("its MAC is wrong");
      }
    }
  });

  test("is added by nodes to their snapshots; an edge refuses a wrong one, but accepts an older primary's snapshot without one", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const headers = { Authorization: `Bearer ${nodeKey}` };
      const given = join(cluster.directory, "given.zst");
      writeFileSync(given, await (await fetch(`${primary.url}/replication/v1/snapshot`, { headers })).bytes());
      expect(openSnapshot(given).signed.mac).toMatch(/^[0-9a-f]{64}$/);
      let answer = await tamper(given, join(directory, "wrong.zst"), { nodeKeyHash: hashKey("another-node-key") });
      let downloads = 0;
      const between = Bun.serve({
        port: 0,
        fetch(request) {
          if (request.url.endsWith("/snapshot")) {
            downloads += 1;
            return new Response(Bun.file(answer));
          }
          const { pathname, search } = new URL(request.url);
          return fetch(`${primary.url}${pathname}${search}`, { headers: request.headers });
        },
      });
      const edge = await cluster.edge("edge", { url: `http://127.0.0.1:${between.port}` });
      await eventually(() => expect(downloads).toBeGreaterThan(1));
      expect(edge.node.state()).toBeUndefined();
      answer = await tamper(given, join(directory, "older.zst"), {});
      await converged(edge.node, primary.node);
      await edge.stop();
      await between.stop(true);
      // A file cannot claim more than its content.
      const waiting = await cluster.edge("offline", { url: "http://127.0.0.1:9" }, { import: answer });
      expect(waiting.node.state()).toBeUndefined();
    }));
});

describe("a file that unpacks to more than it declares", () => {
  test("is unpacked no further", async () => {
    const { manifest } = openSnapshot(sound.backup);
    const bomb = Bun.zstdCompressSync(new Uint8Array(256 * 2 ** 20));
    const sha256 = new Bun.CryptoHasher("sha256").update(bomb).digest("hex");
    const file = join(directory, "bomb.backup");
    const front = encodeHeader(
      { ...manifest, bytes: bomb.byteLength, sha256, unpackedBytes: 100_000 },
      { nodeKeyHash },
    );
    writeFileSync(file, Buffer.concat([front, bomb]));
    const data = mkdtempSync(join(directory, "restored-"));
    const attempt = refusal(restoreFrom(file, { directory: data }));
    let written = 0;
    const unpacked = join(data, "restoring.db");
    const watch = setInterval(
      () => (written = Math.max(written, existsSync(unpacked) ? statSync(unpacked).size : 0)),
      1,
    );
    expect((await attempt).message).toContain("larger than 100000 bytes");
    clearInterval(watch);
    expect(written).toBeLessThanOrEqual(100_000);
    expect(readdirSync(data)).toEqual(["lock"]);
  });

  test("or to more than the free space is not begun", async () => {
    const manifest = { unpackedBytes: 2 ** 52 };
    const file = await tamper(sound.backup, join(directory, "huge.backup"), { manifest, nodeKeyHash });
    expect((await refusal(restoreFrom(file))).message).toContain("free bytes");
    const snapshot = await tamper(sound.snapshot, join(directory, "huge.zst"), { nodeKeyHash });
    const limits = { ...defaultLimits, snapshotBytesMax: 1000 };
    const options = { file: snapshot, data: join(directory, "small"), force: true, limits };
    const given = { nodeKeyHashes: [nodeKeyHash] as const, allowUnauthenticated: false };
    const refused = await refusal(importSnapshot({ ...options, ...given }));
    expect(refused.message).toContain("`snapshotBytesMax` allows 1000");
  });
});

describe("the files of a node and its commands", () => {
  const modesIn = (data: string): string[] =>
    [data, ...readdirSync(data, { recursive: true, encoding: "utf8" }).map((name) => join(data, name))]
      .filter((path) => (statSync(path).mode & 0o077) !== 0)
      .map((path) => path.slice(data.length));

  test("are readable by their owner only, whatever the umask, and wider permissions are reported", () =>
    withDirectory(async (place) => {
      const binary = await builtBinary();
      const data = join(place, "data");
      const run = (...parameters: string[]) =>
        Bun.spawn(["sh", "-c", 'umask 000; exec "$0" "$@"', binary, ...parameters], {
          cwd: place,
          env: { OSTIARY_NODE_KEY: nodeKey, OSTIARY_MQTT_PORT: "0", OSTIARY_ENVIRONMENT: "test" },
          stdout: "pipe",
          stderr: "pipe",
        });
      const port = String(await freePort());
      const serve = () => run("serve", "--role", "primary", "--data", data, "--port", port);
      const node = serve();
      try {
        await eventually(async () => expect((await fetch(`http://127.0.0.1:${port}/healthcheck`)).status).toBe(200));
        expect(await run("backup", "--data", data, "--out", "a.backup").exited).toBe(0);
        expect(await run("snapshot", "create", "--data", data, "--out", "a.zst").exited).toBe(0);
        expect(modesIn(data)).toEqual([]);
      } finally {
        node.kill();
        await node.exited;
      }
      expect(await new Response(node.stderr).text()).not.toContain("others on this machine may open");
      expect(await run("restore", "a.backup", "--data", "restored").exited).toBe(0);
      expect(await run("snapshot", "import", "a.zst", "--data", "imported").exited).toBe(0);
      for (const name of ["restored", "imported"]) expect(modesIn(join(place, name))).toEqual([]);
      for (const name of ["a.backup", "a.zst"]) expect(statSync(join(place, name)).mode & 0o777).toBe(0o600);

      chmodSync(join(data, "store-1.db"), 0o644);
      const again = serve();
      await eventually(async () => expect((await fetch(`http://127.0.0.1:${port}/healthcheck`)).status).toBe(200));
      again.kill();
      await again.exited;
      const told = await new Response(again.stderr).text();
      expect(told).toContain(
        `other users of this machine can open ${join(data, "store-1.db")}: remove the permissions with chmod -R go= ${data}`,
      );

      const policy = join(place, "policy.polar");
      for (const mode of [0o600, 0o664]) {
        writeFileSync(policy, "actor User   {}");
        chmodSync(policy, mode);
        expect(await run("fmt", policy).exited).toBe(0);
        expect(readFileSync(policy, "utf8")).toBe("actor User {}\n");
        expect(statSync(policy).mode & 0o777).toBe(mode);
      }
    }));
});
