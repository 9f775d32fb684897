/**
 * Events that a replica prepares while its primary commits them: nobody sees one before it is committed there, one that
 * never comes leaves no trace, and where nothing can be prepared everything is as without it.
 */
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { Engine } from "../../src/engine/engine.ts";
import { findClosureDamage } from "../../src/log/derived/closures.ts";
import type { FactChange } from "../../src/log/event/event.ts";
import type { Node } from "../../src/replication/node.ts";
import type { ReplayRequest } from "../../src/log/append/replay.ts";
import { StoreWriter, type WriterEvent } from "../../src/log/writer/store-writer.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { newSequenceLock, readSequence } from "../../src/store/connection/sequence-lock.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { auditEntry, operator } from "../../src/store/log/audit-entry.ts";
import { readState, type StoreState } from "../../src/store/log/store-state.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import { converged, eventually, insert, loadPolicy, mayRead, untraced, withCluster } from "./cluster.ts";

const folders = `
actor User {}
resource Folder {
  roles = ["reader"];
  permissions = ["read"];
  relations = { parent: Folder };
  "read" if "reader";
  "reader" if "reader" on "parent";
}
`;
const user = (id: string) => ({ type: "User", id });
const folder = (id: string) => ({ type: "Folder", id });
const name = (id: string) => ({ type: "String", id });
const reads = (who: string, where: string): Fact => ({
  predicate: "has_role",
  args: [user(who), name("reader"), folder(where)],
});
const isIn = (inner: string, outer: string): Fact => ({
  predicate: "has_relation",
  args: [folder(inner), name("parent"), folder(outer)],
});

/** Commits fail as on a full disk. */
function failingCommits(): Disposable {
  const { begin } = SqliteDatabase.prototype;
  return spyOn(SqliteDatabase.prototype, "begin").mockImplementation(function (this: SqliteDatabase, mode) {
    const commit = (): never => {
      throw new Error("the disk is full");
    };
    return { ...begin.call(this, mode), commit };
  });
}

describe("the writer of a replica", () => {
  let directory: string;
  let primary: StoreWriter;
  let replica: StoreWriter;
  let told: WriterEvent[];
  let visible: StoreState[];
  const changes = newSequenceLock();
  const path = (): string => join(directory, "replica.db");
  const open = (writer: StoreWriter, file: string, lock = newSequenceLock()): StoreState =>
    writer.open({
      ...{ path: join(directory, file), environment: "test", synchronous: "FULL", limits: defaultLimits },
      changes: lock,
    });

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-prepare-"));
    [told, visible] = [[], []];
    let committing: StoreState | undefined;
    primary = new StoreWriter((event) => told.push(event), systemClock);
    replica = new StoreWriter((event) => {
      if ("committing" in event) committing = event.committing.state;
      if ("committed" in event) visible.push(must(committing));
    }, systemClock);
    open(primary, "primary.db");
    await primary.write(
      { kind: "policy", source: folders, filename: null, force: true },
      { ...untraced, approval: { replaces: 0 } },
    );
    await write([{ inserts: [isIn("b", "a"), isIn("c", "b"), reads("ann", "a")] }]);
    primary.close();
    copyFileSync(join(directory, "primary.db"), path());
    open(primary, "primary.db");
    open(replica, "replica.db", changes);
    primary.announce(true);
  });

  afterEach(() => {
    primary.close();
    replica.close();
    rmSync(directory, { recursive: true });
  });

  async function write(changed: readonly FactChange[]): Promise<void> {
    await primary.write({ kind: "batch", changes: changed }, untraced);
  }

  const announcedIn = (event: WriterEvent | undefined): ReplayRequest => {
    if (event === undefined || !("next" in event)) throw new Error("nothing was announced");
    const { before, row } = event.next;
    return { epoch: before.epoch, rows: [row], hash: row.hash, digest: null };
  };

  /** What the primary commits: as it is announced before, and as it is committed. */
  async function event(
    changed: readonly FactChange[],
  ): Promise<{ announced: ReplayRequest; committed: ReplayRequest }> {
    told.length = 0;
    await write(changed);
    const [first, second, third] = told;
    if (second === undefined || !("committing" in second) || third === undefined || !("committed" in third))
      throw new Error("the commit was not told");
    const { state, rows } = second.committing;
    const committed = { epoch: state.epoch, rows, hash: state.hash, digest: state.digest };
    return { announced: announcedIn(first), committed };
  }

  /** Another event after the same state, which the primary never commits. */
  async function neverCommitted(changed: readonly FactChange[]): Promise<ReplayRequest> {
    const seen: WriterEvent[] = [];
    const other = new StoreWriter((each) => seen.push(each), systemClock);
    const file = `other-${crypto.randomUUID()}.db`;
    const copy = openStore(path(), { readonly: true });
    copy.exec(`VACUUM INTO '${join(directory, file)}'`);
    copy.close();
    open(other, file);
    other.announce(true);
    await other.write({ kind: "batch", changes: changed }, untraced);
    other.close();
    return announcedIn(seen.find((each) => "next" in each));
  }

  /** As a question would see it. */
  function seen<T>(look: (engine: Engine) => T): T {
    const engine = new Engine(openStore(path(), { readonly: true }));
    try {
      return look(engine);
    } finally {
      engine.close();
    }
  }

  function stateOfFile(): StoreState {
    const store = openStore(path(), { readonly: true });
    try {
      return readState(store);
    } finally {
      store.close();
    }
  }

  const mayReadC = (who: string): boolean =>
    seen((engine) => engine.authorize({ actor: user(who), action: "read", resource: folder("c"), contextFacts: [] }));

  function requireSound(): void {
    const store = openStore(path(), { readonly: true });
    expect(findClosureDamage(store, defaultLimits)).toBeUndefined();
    store.close();
  }

  test("commits a prepared event when it arrives, and nothing of it is visible before", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b"), isIn("d", "c")] }]);
    const before = stateOfFile();
    const sequence = readSequence(changes);
    expect(sequence).toBeDefined();
    replica.prepare(announced);
    expect(stateOfFile()).toEqual(before);
    expect(mayReadC("bob")).toBe(false);
    // Cached answers stay valid.
    expect(readSequence(changes)).toBe(sequence);
    expect(visible).toEqual([]);
    const replayed = replica.replay(committed);
    expect(replayed.wasPrepared).toBe(true);
    expect(visible).toEqual([replayed.state]);
    expect(readSequence(changes)).not.toBe(sequence);
    expect(stateOfFile()).toEqual(replayed.state);
    expect(replayed.state).toMatchObject({ hash: committed.hash, digest: committed.digest });
    expect(mayReadC("bob")).toBe(true);
    requireSound();
  });

  test("keeps the entries of the audit log that come with the event", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    replica.prepare(announced);
    const entry = auditEntry({ actor: operator(), action: "facts.clear" }, { node: "primary", timeMs: 1 });
    const audit = [{ ...entry, epoch: committed.epoch, offset: 3 }];
    const replayed = replica.replay({ ...committed, audit });
    expect(replayed.wasPrepared).toBe(true);
    const store = openStore(path(), { readonly: true });
    expect(store.number("SELECT count(*) FROM audit")).toBe(1);
    store.close();
  });

  test("applies another event as if nothing had been prepared", async () => {
    const other = await neverCommitted([{ inserts: [reads("eve", "a"), isIn("a", "z")], deletes: [isIn("c", "b")] }]);
    const { committed } = await event([{ inserts: [reads("bob", "b")] }]);
    replica.prepare(other);
    expect(replica.replay(committed).wasPrepared).toBe(false);
    expect([mayReadC("bob"), mayReadC("ann"), mayReadC("eve")]).toEqual([true, true, false]);
    requireSound();
    // Symbols of what was rolled back are not taken for known.
    const next = await event([{ inserts: [reads("eve", "z"), isIn("a", "z")] }]);
    replica.prepare(next.announced);
    expect(replica.replay(next.committed).wasPrepared).toBe(true);
    expect(mayReadC("eve")).toBe(true);
    requireSound();
  });

  test("keeps only what was announced last", async () => {
    const other = await neverCommitted([{ inserts: [reads("eve", "a")] }]);
    const { announced, committed } = await event([{ deletes: [isIn("b", "a")] }]);
    replica.prepare(other);
    replica.prepare(announced);
    expect(replica.replay(committed).wasPrepared).toBe(true);
    expect([mayReadC("ann"), mayReadC("eve")]).toEqual([false, false]);
    requireSound();
  });

  test("applies a page of which it has prepared only the first event", async () => {
    const first = await event([{ inserts: [reads("bob", "b")] }]);
    const second = await event([{ inserts: [reads("cat", "b")] }]);
    replica.prepare(first.announced);
    const rows = [...first.committed.rows, ...second.committed.rows];
    expect(replica.replay({ ...second.committed, rows }).wasPrepared).toBe(false);
    expect([mayReadC("bob"), mayReadC("cat")]).toEqual([true, true]);
  });

  test("prepares nothing that does not follow or cannot be read, and applies what does", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    const row = must(announced.rows[0]);
    const wrong: ReplayRequest[] = [
      { ...announced, hash: "0".repeat(16) },
      { ...announced, epoch: "f".repeat(16) },
      { ...announced, rows: [{ ...row, offset: 99 }] },
      { ...announced, rows: [{ ...row, body: "{" }] },
    ];
    for (const request of wrong) {
      replica.prepare(request);
      expect(() => replica.replay(request)).toThrow();
      expect(stateOfFile().offset).toBe(2);
    }
    expect(replica.replay(committed).wasPrepared).toBe(false);
    expect(mayReadC("bob")).toBe(true);
  });

  test("does the work once, however many brokers announce the event", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    using begin = spyOn(SqliteDatabase.prototype, "begin");
    replica.prepare(announced);
    replica.prepare(announced);
    expect(begin).toHaveBeenCalledTimes(1);
    expect(replica.replay(committed).wasPrepared).toBe(true);
    expect(begin).toHaveBeenCalledTimes(1);
  });

  test("goes on after commits that fail, here and on the primary", async () => {
    told.length = 0;
    {
      using _ = failingCommits();
      await expect(write([{ inserts: [reads("eve", "a")] }])).rejects.toThrow("the disk is full");
    }
    expect(told.filter((each) => "committed" in each)).toEqual([]);
    replica.prepare(announcedIn(told.find((each) => "next" in each)));
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    {
      using _ = failingCommits();
      replica.prepare(announced);
      expect(() => replica.replay(committed)).toThrow("the disk is full");
    }
    expect(readSequence(changes)).toBeDefined();
    expect([stateOfFile().offset, mayReadC("bob")]).toEqual([2, false]);
    expect(replica.replay(committed).wasPrepared).toBe(false);
    expect([mayReadC("bob"), mayReadC("eve")]).toEqual([true, false]);
    requireSound();
  });

  test("does not commit what leads to another digest than the primary's", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    replica.prepare(announced);
    expect(() => replica.replay({ ...committed, digest: "0".repeat(16) })).toThrow(AppError);
    expect([stateOfFile().offset, mayReadC("bob")]).toEqual([2, false]);
    expect(replica.replay(committed).wasPrepared).toBe(false);
    expect(mayReadC("bob")).toBe(true);
  });

  test.each<[string, () => unknown]>([
    ["a setting is written", () => replica.writeSetting("node_key_hash", "a")],
    ["a setting is read", () => replica.readSetting("node_key_hash")],
    ["entries of the audit log are written", () => replica.recordAudit({ entries: [], received: true })],
    ["the pages are compared", () => replica.checkPages(0)],
    ["the file is copied if it was replaced", () => replica.copyIfReplaced(join(directory, "copy.db"))],
    ["another file is opened", () => open(replica, "replica.db", changes)],
  ])("gives a prepared event up when %s", async (_, use) => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    replica.prepare(announced);
    await use();
    expect(stateOfFile().offset).toBe(2);
    expect(replica.replay(committed).wasPrepared).toBe(false);
    expect(mayReadC("bob")).toBe(true);
    requireSound();
  });

  test("opens the file again if a prepared event cannot be rolled back", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    const { begin } = SqliteDatabase.prototype;
    {
      using _ = spyOn(SqliteDatabase.prototype, "begin").mockImplementation(function (this: SqliteDatabase, mode) {
        const rollback = (): never => {
          throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR", errno: 10 });
        };
        return { ...begin.call(this, mode), rollback };
      });
      replica.prepare(announced);
    }
    expect(replica.readSetting("node_key_hash")).toBeUndefined();
    expect(stateOfFile().offset).toBe(2);
    expect(() => replica.replay(committed)).toThrow("disk I/O error");
    await eventually(() => expect(replica.replay(committed).wasPrepared).toBe(false));
    expect(mayReadC("bob")).toBe(true);
    requireSound();
  });

  test("gives a prepared event up with its file", async () => {
    const { announced } = await event([{ inserts: [reads("bob", "b")] }]);
    replica.prepare(announced);
    replica.close();
    expect([stateOfFile().offset, mayReadC("bob")]).toEqual([2, false]);
  });

  test("of which nobody wants to know, that are large, or that are committed with others, are not announced", async () => {
    told.length = 0;
    const many = Array.from({ length: defaultLimits.publishEventBytesMax / 400 }, (_, index) => `${index}`.padEnd(400));
    await write([{ inserts: many.map((id) => reads(id, "b")) }]);
    expect(told.filter((each) => "next" in each)).toEqual([]);
    await Promise.all([write([{ inserts: [reads("bob", "b")] }]), write([{ inserts: [reads("cat", "b")] }])]);
    expect(told.filter((each) => "next" in each)).toEqual([]);
    primary.announce(false);
    await write([{ inserts: [reads("dan", "b")] }]);
    expect(told.filter((each) => "next" in each)).toEqual([]);
  });
});

test("an edge prepares the writes that come one by one", () =>
  withCluster(async (cluster) => {
    const prepared = async (): Promise<number> => (await metrics.eventsPrepared.get()).values[0]?.value ?? 0;
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const edge = await cluster.edge("edge-1", primary);
    await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
    const write = async (node: Node): Promise<void> => {
      const who = crypto.randomUUID();
      await insert(primary.node, who);
      await converged(node, primary.node);
      expect(mayRead(node, who)).toBe(true);
    };
    // The primary begins to announce events within a second.
    await eventually(async () => {
      await write(edge.node);
      expect(await prepared()).toBeGreaterThan(0);
    });
    const before = await prepared();
    for (let count = 0; count < 20; count++) await write(edge.node);
    expect((await prepared()) - before).toBeGreaterThan(10);
  }));
