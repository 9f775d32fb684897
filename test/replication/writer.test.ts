/**
 * The writer in its worker, over real files: which requests become events, and that waiting writes share a commit but
 * not each other's failure.
 */
import { describe, expect, spyOn, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { chainHash } from "../../src/log/event/position.ts";
import type { ReplayRequest } from "../../src/log/append/replay.ts";
import { StoreWriter, type StateChange } from "../../src/log/writer/store-writer.ts";
import { Writer } from "../../src/log/writer/writer.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { newSequenceLock } from "../../src/store/connection/sequence-lock.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { openLog, type StoredLogRow } from "../../src/store/log/log.ts";
import { readState, zeroHash, type StoreState } from "../../src/store/log/store-state.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import { policy, reader, refusal, untraced, withDirectory } from "./cluster.ts";
import { realSystem } from "../../src/replication/system.ts";

const loadPolicy = { kind: "policy", source: policy, filename: "policy.polar", force: false } as const;
const grant = (...users: string[]) =>
  ({ kind: "batch", changes: [{ inserts: users.map((user) => reader(user)) }] }) as const;
const revoke = (user: string) => ({ kind: "batch", changes: [{ deletes: [reader(user)] }] }) as const;

async function withWriter(
  body: (writer: Writer, path: string) => Promise<void>,
  limits: Partial<Limits> = {},
): Promise<void> {
  await withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    const writer = new Writer(
      { environment: "test", synchronous: "FULL", limits: { ...defaultLimits, ...limits } },
      realSystem,
    );
    try {
      await writer.open(path);
      await writer.write(loadPolicy, untraced);
      await body(writer, path);
    } finally {
      await writer.stop();
    }
  });
}

function inspect(path: string): {
  readonly state: StoreState;
  readonly rows: StoredLogRow[];
  readonly trimmedTo: number | undefined;
} {
  const store = openStore(path, { readonly: true });
  const log = openLog(store);
  const found = {
    state: readState(store),
    rows: log.read(log.trimmedTo() ?? 0, { eventsMax: 1000, bytesMax: 1e9 }),
    trimmedTo: log.trimmedTo(),
  };
  store.close();
  return found;
}

describe("a write", () => {
  test("is one event: log row, state and digest in one commit, with chained hashes", () =>
    withWriter(async (writer, path) => {
      const first = await writer.write(grant("ann", "bob"), {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      });
      expect(first).toMatchObject({ offset: 2, inserted: 2, deleted: 0 });
      const second = await writer.write(revoke("ann"), untraced);
      expect(second).toMatchObject({ offset: 3, inserted: 0, deleted: 1 });
      const { state, rows } = inspect(path);
      expect(state).toEqual(writer.state);
      expect(rows.map(({ offset, kind }) => `${offset} ${kind}`)).toEqual(["1 policy", "2 facts", "3 facts"]);
      expect(rows[1]?.traceparent).toStartWith("00-0af7");
      let hash = zeroHash;
      for (const row of rows) {
        hash = chainHash(hash, row);
        expect(row.hash).toBe(hash);
      }
      expect(state.hash).toBe(hash);
    }));

  test("that changes nothing appends nothing and returns the current position", () =>
    withWriter(async (writer, path) => {
      await writer.write(grant("ann"), untraced);
      const before = inspect(path);
      expect(await writer.write(grant("ann"), untraced)).toMatchObject({ offset: 2, unchanged: true });
      expect(await writer.write(revoke("nobody"), untraced)).toMatchObject({ offset: 2, unchanged: true });
      expect(await writer.write(loadPolicy, untraced)).toMatchObject({ offset: 2, unchanged: true });
      expect(inspect(path)).toEqual(before);
      expect(await writer.write({ ...loadPolicy, filename: "other.polar" }, untraced)).toMatchObject({ offset: 3 });
    }));

  test("that is refused changes nothing", () =>
    withWriter(async (writer, path) => {
      const before = inspect(path);
      const unknown = {
        kind: "batch",
        changes: [{ inserts: [reader("ann"), { predicate: "owns", args: [{ type: "User", id: "x" }] }] }],
      } as const;
      expect((await refusal(writer.write(unknown, untraced))).message).toContain("is not used in policy");
      const broken = { ...loadPolicy, source: 'resource Repo { "read" if "nobody"; }' };
      const invalid = await refusal(writer.write(broken, untraced));
      expect(invalid).toMatchObject({ code: "invalid_policy", details: { error_type: "Validation" } });
      const failing = `${policy} test "wrong" { setup {} assert allow(User{"ann"}, "read", Repo{"main"}); }`;
      const failed = await refusal(writer.write({ ...loadPolicy, source: failing }, untraced));
      expect(failed).toMatchObject({
        code: "invalid_policy",
        details: { error_type: "TestsFailed", test_results: { success: false } },
      });
      expect(inspect(path)).toEqual(before);
      expect(await writer.write({ ...loadPolicy, source: failing, force: true }, untraced)).toMatchObject({
        offset: 2,
      });
    }));

  test("stores keys, and an unchanged key is no event", () =>
    withWriter(async (writer) => {
      const key = { id: "k1", name: "ci", role: "write", hash: "a".repeat(64), timeMs: 1 } as const;
      expect(await writer.write({ kind: "keys", add: [key], remove: [] }, untraced)).toMatchObject({ offset: 2 });
      expect(await writer.write({ kind: "keys", add: [key], remove: ["k2"] }, untraced)).toMatchObject({
        unchanged: true,
      });
      const { digest } = writer.state;
      expect(await writer.write({ kind: "keys", add: [], remove: ["k1"] }, untraced)).toMatchObject({ offset: 3 });
      expect(writer.state.digest).not.toBe(digest);
    }));
});

describe("writes that wait together", () => {
  test("each get their own event and result, also beside refused ones", () =>
    withWriter(async (writer, path) => {
      const moves: number[] = [];
      writer.onStateChange(({ state }) => moves.push(state.offset));
      const writes = Array.from({ length: 200 }, (_, index) =>
        index % 10 === 3
          ? writer.write(
              {
                kind: "batch",
                changes: [{ inserts: [{ predicate: "owns", args: [{ type: "User", id: `u${index}` }] }] }],
              },
              untraced,
            )
          : writer.write(grant(`u${index}`), untraced),
      );
      const outcomes = await Promise.allSettled(writes);
      const offsets = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value.offset] : []));
      expect(offsets).toEqual(Array.from({ length: 180 }, (_, index) => index + 2));
      expect(outcomes.filter(({ status }) => status === "rejected")).toHaveLength(20);
      expect(inspect(path).state).toMatchObject({ offset: 181, digest: writer.state.digest });
      // Far fewer commits than writes, which is the purpose of grouping.
      expect(moves.length).toBeLessThan(40);
      expect(moves.at(-1)).toBe(181);
    }));

  test("see the writes before them", () =>
    withWriter(async (writer) => {
      const [added, again, removed, gone] = await Promise.all(
        [grant("ann"), grant("ann"), revoke("ann"), revoke("ann")].map((write) => writer.write(write, untraced)),
      );
      expect([added?.inserted, again?.unchanged, removed?.deleted, gone?.unchanged]).toEqual([1, true, 1, true]);
      expect([added?.offset, again?.offset, removed?.offset, gone?.offset]).toEqual([2, 2, 3, 3]);
    }));
});

test("the log keeps what it should keep, and the state stays complete", () =>
  withWriter(
    async (writer, path) => {
      for (let index = 0; index < 60; index++) await writer.write(grant(`u${index}`), untraced);
      const { state, rows, trimmedTo } = inspect(path);
      expect(state.offset).toBe(61);
      expect(rows.length).toBeGreaterThanOrEqual(20);
      expect(rows.length).toBeLessThanOrEqual(23);
      expect(trimmedTo).toBe(61 - rows.length);
      expect(rows.at(-1)?.hash).toBe(state.hash);
    },
    { retentionEvents: 20 },
  ));

test("a log that cannot be trimmed, for example on a full disk, stops nothing", () =>
  withWriter(
    async (writer, path) => {
      const store = openStore(path);
      store.exec("CREATE TRIGGER stuck BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'disk full'); END");
      for (let index = 0; index < 10; index++) await writer.write(grant(`u${index}`), untraced);
      expect(inspect(path).rows).toHaveLength(11);
      store.exec("DROP TRIGGER stuck");
      store.close();
      await writer.write(grant("last"), untraced);
      // After one more write it is short again, and in order.
      await writer.write(grant("one more"), untraced);
      expect(inspect(path).rows.length).toBeLessThanOrEqual(6);
    },
    { retentionEvents: 5 },
  ));

test("a store of another environment is refused", () =>
  withWriter(async (writer, path) => {
    await writer.stop();
    const other = new Writer({ environment: "other", synchronous: "FULL", limits: defaultLimits }, realSystem);
    expect((await refusal(other.open(path))).message).toContain("belongs to environment `test`");
    await other.stop();
  }));

/** Gives `body` a replica's writer, and the next event of its primary. */
async function withNextEvent(
  body: (replica: StoreWriter, request: ReplayRequest, path: string) => void | Promise<void>,
): Promise<void> {
  await withDirectory(async (directory) => {
    const [source, path] = [join(directory, "primary.db"), join(directory, "replica.db")];
    const common = { environment: "test", synchronous: "FULL", limits: defaultLimits } as const;
    let change: StateChange | undefined;
    const primary = new StoreWriter((event) => {
      if ("committing" in event) change = event.committing;
    }, systemClock);
    const replica = new StoreWriter(() => {}, systemClock);
    try {
      primary.open({ ...common, path: source, changes: newSequenceLock() });
      await primary.write(loadPolicy, { ...untraced, approval: { replaces: 0 } });
      primary.close();
      copyFileSync(source, path);
      primary.open({ ...common, path: source, changes: newSequenceLock() });
      replica.open({ ...common, path, changes: newSequenceLock() });
      await primary.write(grant("ann"), untraced);
      const { state, rows } = must(change);
      await body(replica, { epoch: state.epoch, rows, hash: state.hash, digest: state.digest }, path);
    } finally {
      primary.close();
      replica.close();
    }
  });
}

describe("an event of the primary", () => {
  test("that leads to another digest than there is not committed", () =>
    withNextEvent((replica, request, path) => {
      const before = inspect(path);
      expect(() => replica.replay({ ...request, digest: "0".repeat(16) })).toThrow(AppError);
      expect(inspect(path)).toEqual(before);
      expect(replica.replay(request).state).toMatchObject({ offset: 2, digest: request.digest });
    }));

  test("whose commit fails is not visible, and is applied when it arrives again", () =>
    withNextEvent((replica, request, path) => {
      const before = inspect(path);
      const { begin } = SqliteDatabase.prototype;
      {
        using _ = spyOn(SqliteDatabase.prototype, "begin").mockImplementation(function (this: SqliteDatabase, mode) {
          const commit = (): never => {
            throw new Error("the commit failed");
          };
          return { ...begin.call(this, mode), commit };
        });
        expect(() => replica.replay(request)).toThrow("the commit failed");
      }
      expect(inspect(path)).toEqual(before);
      expect(replica.replay(request).state).toMatchObject({ offset: 2, digest: request.digest });
      expect(inspect(path).state).toMatchObject({ offset: 2, hash: request.hash });
    }));
});
