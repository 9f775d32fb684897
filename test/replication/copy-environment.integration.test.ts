/**
 * Copies of environments: they have the facts and the policy, and nothing else of their origin, not even in unused bytes
 * of the file; and they are whole environments, with a history, edges and recoveries of their own.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { factsEffect } from "../../scripts/benchmark/store-file.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import type { Effect } from "../../src/log/event/event.ts";
import { parseStoredText, storedText } from "../../src/policy/stored-policy.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { checkLog } from "../../src/replication/backup/check-log.ts";
import { recoverTo } from "../../src/replication/backup/point-in-time.ts";
import { restore } from "../../src/replication/backup/restore.ts";
import { append, type WriteRequest } from "../../src/log/append/append.ts";
import { buildEnvironment } from "../../src/replication/snapshots/build-environment.ts";
import { copyEnvironment, type CopyContext } from "../../src/replication/snapshots/copy-environment.ts";
import { realSystem } from "../../src/replication/system.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { currentStorePath, lockDirectory } from "../../src/store/directory/data-directory.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { isBindingsRow } from "../../src/store/keys/stored-bindings.ts";
import { readEpochs } from "../../src/store/log/epochs.ts";
import { openLog } from "../../src/store/log/log.ts";
import { earliestPointInTime } from "../../src/store/log/point-in-time.ts";
import { createState, findState, readState } from "../../src/store/log/store-state.ts";
import { firstTerm } from "../../src/store/log/terms.ts";
import { must } from "../../src/util/assert.ts";
import { storageFailureIn } from "../../src/util/storage-failure.ts";
import { allFacts } from "../engine/store.ts";
import {
  adminKey,
  converged,
  insert,
  loadPolicy,
  mayRead,
  nodeKey,
  policy,
  post,
  reader,
  refusal,
  unset,
  untraced,
  withCluster,
  withDirectory,
  type Cluster,
} from "./cluster.ts";
import { drawHistory, readContents } from "./random-history.ts";
import { seedsOf } from "../seeds.ts";
import { expectVerified } from "./verify-database.ts";
import { approved } from "./approved.ts";

// Each copy starts threads, which is slow on a busy machine.
setDefaultTimeout(120_000);

function copy(
  source: string,
  data: string,
  environment = "copied",
  system: CopyContext["system"] = realSystem,
): Promise<void> {
  return copyEnvironment({ environment, data, limits: defaultLimits, system }, source);
}

/** Reads the store of a directory, or at a path. */
function read<T>(path: string, body: (store: Connection) => T): T {
  const store = openStore(path.endsWith(".db") ? path : must(currentStorePath(path)), { readonly: true });
  try {
    return body(store);
  } finally {
    store.close();
  }
}

/** A row of `api_key`. */
type ApiKeyValues = [id: string, name: string, role: "admin" | "write" | "read", hash: string, timeMs: number];

/** The store that a new primary has when the same facts are loaded after the same policy. */
function loaded(
  path: string,
  facts: readonly Fact[],
  source: string | undefined,
  bindings: readonly ApiKeyValues[] = [],
): Connection {
  const store = openStore(path);
  createState(store, "copied", "00000000000000ff");
  const apply = (effect: Effect): void =>
    applyEvent(store, { offset: 1, timeMs: 0, traceparent: null, effect }, defaultLimits);
  store.transaction(() => {
    if (source !== undefined) apply({ kind: "policy", id: 1, source, filename: null });
    apply(factsEffect(facts));
    const added = bindings.map(([id, name, role, hash, timeMs]) => ({ id, name, role, hash, timeMs }));
    apply({ kind: "keys", added, removed: [] });
  });
  return store;
}

/** Calls the store's writer functions, as a primary does. */
function write(store: Connection, request: WriteRequest): void {
  store.transaction(() => {
    append(store, openLog(store), request, approved(store, request, untraced), defaultLimits);
  }, "immediate");
}

describe("random histories", () => {
  test.each(seedsOf(1))(
    "a copy of the history of seed %i is what the same facts and policy in a new store are",
    (seed) =>
      withDirectory(async (directory) => {
        const { store: source } = drawHistory(join(directory, "source.db"), seed, 20 + 13 * (seed % 9));
        const data = join(directory, "copy");
        await copy(source.path, data);
        const origin = readContents(source);
        source.close();
        const path = must(currentStorePath(data));
        const found = read(path, readContents);
        const { state, facts, closures, indexes, answers } = found;
        expect({ facts, closures, indexes, answers }).toEqual({
          facts: origin.facts,
          closures: origin.closures,
          indexes: origin.indexes,
          answers: origin.answers,
        });
        for (const left of ["answered", "cleared", "log"] as const) expect(found[left]).toEqual([]);
        // Stored data bindings are copied; they have no secret.
        const bindings = (origin.keys as ApiKeyValues[]).filter(([id]) => isBindingsRow({ id }));
        expect(found.keys).toEqual(bindings);
        expect(readFileSync(path).includes("made at")).toBe(false);
        expect(state).toMatchObject({ environment: "copied", offset: 1, term: firstTerm });
        expect(found.epochs).toEqual([[firstTerm, state.epoch, 0, "0".repeat(16), 0]]);
        expect(found.policies).toHaveLength(origin.state.policyId === 0 ? 0 : 1);

        const [last] = origin.policies.slice(-1) as [number, string][];
        const text = last && storedText(1, { ...parseStoredText(last[0], last[1]), author: null });
        const fresh = loaded(join(directory, "fresh.db"), read(path, allFacts), text, bindings);
        expect(state.digest).toBe(readState(fresh).digest);
        expect(state.policyId).toBe(readState(fresh).policyId);
        expect(readContents(fresh).answers).toBe(answers);
        fresh.close();
        expect(expectVerified(path)).toEqual(state);
        read(path, checkLog);
      }),
  );

  test("a copy can go back in its own log, and not further", () =>
    withDirectory(async (directory) => {
      const { store: source } = drawHistory(join(directory, "source.db"), 3, 45);
      const data = join(directory, "copy");
      await copy(source.path, data);
      source.close();
      const store = openStore(must(currentStorePath(data)), { wal: false });
      const beginning = readState(store);
      expect(earliestPointInTime(store)).toEqual({ offset: 1, timeMs: beginning.timeMs });
      write(store, { kind: "epoch", epoch: "00000000000000aa", term: firstTerm + 1 });
      const portrait = readContents(store);
      write(store, { kind: "policy", source: policy, filename: null, force: true });
      write(store, { kind: "batch", changes: [{ inserts: [reader("new"), reader("newer")] }] });
      write(store, { kind: "clear" });
      checkLog(store);
      expect(earliestPointInTime(store)).toMatchObject({ offset: 2 });
      expect(recoverTo(store, 2, defaultLimits).state).toEqual({ ...portrait.state, digest: beginning.digest });
      expect(readContents(store)).toEqual(portrait);
      store.close();
      expectVerified(store.path);
    }));

  test("a copy of a copy has the same data, and another history", () =>
    withDirectory(async (directory) => {
      const { store: source } = drawHistory(join(directory, "source.db"), 4, 45);
      await copy(source.path, join(directory, "one"));
      source.close();
      await copy(must(currentStorePath(join(directory, "one"))), join(directory, "two"), "again");
      const [one, two] = ["one", "two"].map((name) => read(join(directory, name), readContents));
      const { epoch, hash, timeMs, environment } = must(two).state;
      expect(two).toEqual({
        ...must(one),
        epochs: must(two).epochs,
        policies: must(two).policies,
        state: { ...must(one).state, epoch, hash, timeMs, environment },
      });
      expect(environment).toBe("again");
      expect(epoch).not.toBe(must(one).state.epoch);
      expect(hash).not.toBe(must(one).state.hash);
    }));
});

const secretPolicy = `${policy}\n# forgotten-comment`;
const originKey = (id: string): string => `e_origin-name_${id}_${hashKey(id).slice(0, 32)}`;

/** A primary whose store has everything that must not leave it. Returns the texts. */
async function fillOrigin(cluster: Cluster) {
  const origin = await cluster.primary({ environment: "origin-name", adminKey: originKey("firstadmin") });
  const { writes } = origin.node;
  const add = (id: string) => ({ id, name: `name-of-${id}`, role: "admin", hash: hashKey(originKey(id)), timeMs: 1 });
  await writes.keys({ add: [add("deployer"), add("removed")] as never, remove: [] }, untraced);
  const meta = { ...untraced, sender: "removed" };
  await writes.policy({ source: secretPolicy, filename: "a.polar", force: false, message: "first-message" }, meta);
  const kept = { source: policy, filename: "b.polar", force: false, message: "kept-message" };
  await writes.policy(kept, { ...untraced, sender: "deployer" });
  await writes.keys({ add: [], remove: ["removed"] }, untraced);
  await insert(origin.node, "dropped");
  await writes.clear(untraced);
  const request = { ...untraced, idempotencyKey: "request-of-deployer", sender: "deployer" };
  await writes.batch([{ inserts: [reader("ann")] }], request);
  await insert(origin.node, "bob");
  return origin;
}

describe("the bytes of a copy", () => {
  test("have no keys, hashes, events, authors, requests or audit entries of the original", () =>
    withCluster(async (cluster) => {
      const origin = await fillOrigin(cluster);
      const source = origin.node.engine().path;
      const data = join(cluster.directory, "copy");
      await copy(source, data);
      expect(readdirSync(data).sort()).toEqual(["lock", "store-1.db"]);
      const bytes = readFileSync(must(currentStorePath(data)));
      const texts = (sql: string): string[] => read(source, (store) => store.prepare(sql).values().flat().map(String));
      const ids = ["firstadmin", "deployer", "removed"];
      const secrets = {
        environment: ["origin-name"],
        nodeKey: [nodeKey, hashKey(nodeKey)],
        keys: ids.flatMap((id) => [id, `name-of-${id}`, originKey(id), hashKey(originKey(id))]),
        ofLog: texts("SELECT body FROM log"),
        hashes: texts("SELECT hash FROM log"),
        digests: texts("SELECT digest FROM log"),
        epochs: texts("SELECT epoch FROM epoch"),
        audited: texts("SELECT id FROM audit"),
        settings: texts("SELECT value FROM node WHERE value <> ''"),
        requests: texts("SELECT request FROM answered"),
        policies: ["forgotten-comment", "first-message", "a.polar", '"inserted"', '"replaced"'],
      };
      for (const [kind, values] of Object.entries(secrets)) {
        expect([kind, values.length]).not.toEqual([kind, 0]);
        expect([kind, values.filter((value) => bytes.includes(value))]).toEqual([kind, []]);
      }
      // What is copied is found in this way.
      for (const kept of ["ann", "bob", "kept-message", "b.polar", "resource Repo"])
        expect([kept, bytes.includes(kept)]).toEqual([kept, true]);
      read(data, (store) => {
        expect(store.prepare("PRAGMA freelist_count").values()).toEqual([[0]]);
        expect(allFacts(store)).toHaveLength(2);
      });
    }));
});

describe("a primary on a copy", () => {
  test("has no keys but its own, and a history with edges, backups and recoveries of its own", () =>
    withCluster(async (cluster) => {
      const origin = await fillOrigin(cluster);
      const token = (await insert(origin.node, "carl")).offset;
      const { epoch: oldEpoch, digest } = origin.node.health();
      const data = join(cluster.directory, "copy");
      await copy(origin.node.engine().path, data);
      const flags = { environment: "copied", data };
      const primary = await cluster.primary({ ...flags, adminKey: adminKey.replace("test", "copied") });
      const key = adminKey.replace("test", "copied");
      const keys = await fetch(`${primary.url}/api/keys`, { headers: { authorization: `Bearer ${key}` } });
      expect(await keys.json()).toEqual({ keys: [expect.objectContaining({ id: "admin", role: "admin" })] });
      for (const id of ["firstadmin", "deployer", "removed"])
        expect((await post(primary.url, "/api/batch", [], originKey(id))).status).toBe(401);

      // Tokens of the original mean nothing here, whatever their offset.
      for (const offset of [0, 1, 2, token]) {
        const refused = await refusal(primary.node.waitFor(`${oldEpoch}:${offset}`));
        expect(refused).toMatchObject({ code: "conflict" });
        expect(refused.message).toContain("belongs to another history");
      }
      expect(() =>
        must(primary.node.events).read(
          { epoch: must(oldEpoch ?? undefined), offset: 1 },
          { eventsMax: 9, bytesMax: 1e6 },
        ),
      ).toThrow("is not part of this environment's history");

      // An edge takes a snapshot, and follows.
      const edge = await cluster.edge("edge", primary, { environment: "copied" });
      await converged(edge.node, primary.node);
      const { offset: before } = await insert(primary.node, "dora");
      await primary.node.writes.clear(untraced);
      await loadPolicy(primary.node);
      await insert(primary.node, "emma");
      await converged(edge.node, primary.node);
      expect(["ann", "bob", "carl", "dora", "emma"].map((user) => mayRead(edge.node, user))).toEqual([
        ...[false, false, false, false, true],
      ]);
      expect(mayRead(origin.node, "carl")).toBe(true);
      expect(mayRead(origin.node, "dora")).toBe(false);
      expect(origin.node.health()).toMatchObject({ epoch: oldEpoch, digest });

      // A backup goes back to before the events of the copy.
      const [file, restored] = [join(cluster.directory, "copy.backup"), join(cluster.directory, "restored")];
      const [warn, onStep] = [
        (problem: string): never => {
          throw new Error(problem);
        },
        (): void => {},
      ];
      const path = primary.node.engine().path;
      await backUp({ target: file, write: backupWriter(path, onStep), limits: defaultLimits, onStep, warn });
      await restore({
        ...{ file, directory: restored, target: { offset: before - 1 }, force: false, dryRun: false, knownTerm: 0 },
        ...{ limits: defaultLimits, onStep, warn, nodeKeyHashes: undefined, allowUnauthenticated: true },
      });
      read(restored, (store) => {
        expect(
          allFacts(store)
            .map(({ args }) => args[0]?.id)
            .sort(),
        ).toEqual(["ann", "bob", "carl"]);
        checkLog(store);
      });

      // It starts again, and edges of the original environment never follow it.
      await primary.stop();
      const again = await cluster.primary({ ...flags, adminKey: unset });
      expect(mayRead(again.node, "emma")).toBe(true);
      expect(read(path, readEpochs)).toHaveLength(3);
      const other = cluster.primary({ environment: "origin-name", data, adminKey: unset });
      expect((await refusal(other)).message).toContain("another process is using the data directory");
      await again.stop();
      const wrong = cluster.primary({ environment: "origin-name", data, adminKey: unset });
      expect((await refusal(wrong)).message).toContain("belongs to environment `copied`");
    }));

  test("can have the data of an edge or a fallback", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann", "bob");
      const edge = await cluster.edge("edge", primary);
      const fallback = await cluster.fallback(primary);
      for (const node of [edge.node, fallback.node]) {
        await converged(node, primary.node);
        const data = join(cluster.directory, `copy-of-${node.role}`);
        await copy(node.engine().path, data);
        const flags = { environment: "copied", data, adminKey: adminKey.replace("test", "copied") };
        const copied = await cluster.primary(flags);
        await insert(copied.node, "carl");
        expect(["ann", "bob", "carl", "dora"].map((user) => mayRead(copied.node, user))).toEqual([
          ...[true, true, true, false],
        ]);
        expect(mayRead(node, "carl")).toBe(false);
      }
    }));
});

test("a copy of a store that is written to has one state of it", () =>
  withCluster(async (cluster) => {
    const { node } = await cluster.primary();
    await loadPolicy(node);
    let written = 0;
    let isWriting = true;
    const writing = (async (): Promise<void> => {
      for (; isWriting; written++) await insert(node, `${written}a`, `${written}b`);
    })();
    try {
      for (let round = 0; round < 4; round++) {
        const before = written;
        const data = join(cluster.directory, `copy-${round}`);
        await copy(node.engine().path, data);
        const after = written;
        const users = read(data, allFacts).map(({ args }) => must(args[0]).id);
        const count = users.length / 2;
        expect(count).toBeGreaterThanOrEqual(before);
        expect(count).toBeLessThanOrEqual(after + 1);
        const wanted = Array.from({ length: count }, (_, index) => [`${index}a`, `${index}b`]).flat();
        expect(users.sort()).toEqual(wanted.sort());
        expectVerified(must(currentStorePath(data)));
      }
      expect(written).toBeGreaterThan(0);
    } finally {
      isWriting = false;
      await writing;
    }
  }));

describe("a copy that does not succeed", () => {
  /** Runs before each command of a worker, which it may change or refuse. */
  type Intervene = (command: string, parameters: readonly unknown[]) => readonly unknown[];

  function interrupted(intervene: Intervene): CopyContext["system"] {
    const spawnWorker = ((kind: Parameters<typeof realSystem.spawnWorker>[0]) => {
      const worker = realSystem.spawnWorker<Record<string, (...parameters: unknown[]) => unknown>, never>(kind);
      const call = async (command: string, ...parameters: unknown[]) =>
        worker.call(command, ...intervene(command, parameters));
      return { ...worker, call, stop: () => worker.stop() };
    }) as unknown as typeof realSystem.spawnWorker;
    return { clock: realSystem.clock, spawnWorker };
  }

  const withSource = (body: (source: string, directory: string) => Promise<void>): Promise<void> =>
    withDirectory(async (directory) => {
      const { store } = drawHistory(join(directory, "source.db"), 2, 45);
      try {
        await body(store.path, directory);
      } finally {
        store.close();
      }
    });

  test("leaves no store, also if the process ends at any step, and the next one succeeds", () =>
    withSource(async (source, directory) => {
      const steps = ["buildEnvironment", "open", "read", "checkPages", "checkTables", "repair"];
      const seen: string[] = [];
      for (const step of steps) {
        const [data, killed] = [join(directory, step), join(directory, `${step}-killed`)];
        const system = interrupted((command, parameters) => {
          if (command !== step) return parameters;
          seen.push(command);
          // What a process that is killed now leaves; the locks of a copy are free.
          cpSync(data, killed, { recursive: true });
          throw new Error(`interrupted at ${command}`);
        });
        expect((await refusal(copy(source, data, "copied", system))).message).toBe(`interrupted at ${step}`);
        expect(readdirSync(data)).toEqual(["lock"]);
        for (const left of [data, killed]) {
          expect(currentStorePath(left)).toBeUndefined();
          await copy(source, left);
          expect(readdirSync(left).sort()).toEqual(["lock", "store-1.db"]);
          expectVerified(must(currentStorePath(left)));
        }
      }
      expect(seen).toEqual(steps);
    }));

  test("after the end of a process in the middle of writing, a start finds no store", () =>
    withCluster(async (cluster) => {
      const origin = await cluster.primary();
      await loadPolicy(origin.node);
      const data = join(cluster.directory, "half");
      mkdirSync(data);
      const whole = join(cluster.directory, "whole.db");
      const beginning = { environment: "copied", epoch: "00000000000000aa", hash: "00000000000000bb", timeMs: 1 };
      buildEnvironment(origin.node.engine().path, whole, beginning, Number.MAX_SAFE_INTEGER);
      const bytes = readFileSync(whole);
      writeFileSync(join(data, "new.db"), bytes.subarray(0, bytes.length / 2));
      const primary = await cluster.primary({
        environment: "copied",
        data,
        adminKey: adminKey.replace("test", "copied"),
      });
      expect(primary.node.health()).toMatchObject({ offset: 1 });
      expect(read(data, (store) => findState(store)?.policyId)).toBe(0);
      expect(readdirSync(data).filter((name) => name.startsWith("new.db"))).toEqual([]);
    }));

  test("is refused if the source is damaged, or is no store, or is missing", () =>
    withSource(async (source, directory) => {
      const damaged = join(directory, "damaged.db");
      read(source, (store) => store.exec(`VACUUM INTO '${damaged}'`));
      const store = openStore(damaged, { wal: false });
      const symbol = must(allFacts(store)[0]?.args[0]);
      store.exec(`UPDATE symbol SET value = 'x' || value WHERE value = '${symbol.id}'`);
      store.close();
      writeFileSync(join(directory, "text.db"), "no database ".repeat(1000));
      const refusedFor = async (path: string): Promise<string> => {
        const data = join(directory, `copy-of-${path}`);
        const { message } = await refusal(copy(join(directory, path), data));
        expect(readdirSync(data)).toEqual(["lock"]);
        return message;
      };
      expect(await refusedFor("damaged.db")).toContain("the data are damaged: their digest is");
      expect(await refusedFor("text.db")).toContain("not a database");
      expect(await refusedFor("missing.db")).toContain("unable to open database");
    }));

  test("is refused if the directory has a store or is in use, which stays as it is", () =>
    withSource(async (source, directory) => {
      const data = join(directory, "copy");
      await copy(source, data);
      const before = read(data, readContents);
      expect(await refusal(copy(source, data))).toMatchObject({ code: "conflict" });
      expect(read(data, readContents)).toEqual(before);
      const other = join(directory, "locked");
      const { unlock } = lockDirectory(other);
      expect((await refusal(copy(source, other))).message).toContain("another process is using the data directory");
      unlock();
    }));

  test("leaves the reserve of the disk free", () =>
    withSource(async (source, directory) => {
      const beginning = { environment: "copied", epoch: "00000000000000aa", hash: "00000000000000bb", timeMs: 1 };
      let failure: unknown;
      try {
        buildEnvironment(source, join(directory, "large.db"), beginning, 100_000);
      } catch (error) {
        failure = error;
      }
      expect(storageFailureIn(failure)?.reason).toBe("full");
      const system = interrupted((command, parameters) =>
        command === "buildEnvironment" ? [...parameters.slice(0, 3), 100_000] : parameters,
      );
      const data = join(directory, "copy");
      expect(await refusal(copy(source, data, "copied", system))).toMatchObject({
        code: "not_ready",
        message: expect.stringContaining("too little space for a copy of the environment beside the reserve"),
      });
      expect(readdirSync(data)).toEqual(["lock"]);
    }));
});
