/**
 * Point-in-time recovery: from any state to any earlier one, after all kinds of events, and not if log and data do not
 * match.
 */
import { describe, expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { checkLog } from "../../src/replication/backup/check-log.ts";
import { recoverTo, recoveryOffset } from "../../src/replication/backup/point-in-time.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { rewindIdempotencyRecords } from "../../src/store/log/idempotency.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { openLog } from "../../src/store/log/log.ts";
import { earliestPointInTime } from "../../src/store/log/point-in-time.ts";
import { must } from "../../src/util/assert.ts";
import { withDirectory } from "./cluster.ts";
import { drawHistory, readContents, type History } from "./random-history.ts";
import { seedsOf } from "../seeds.ts";
import { expectVerified } from "./verify-database.ts";

/** Its history has all kinds of events. */
const fixedSeed = 1;
const events = 45;

/** The history in one file, and a function that makes copies of it for tests that change one. */
async function withHistory(
  seed: number,
  count: number,
  body: (history: History, copy: () => Connection) => void,
): Promise<void> {
  await withDirectory(async (directory) => {
    const path = join(directory, "store.db");
    const history = drawHistory(path, seed, count);
    history.store.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const opened: Connection[] = [];
    const copy = (): Connection => {
      const target = join(directory, `copy-${opened.length}.db`);
      copyFileSync(path, target);
      const store = openStore(target, { wal: false });
      opened.push(store);
      return store;
    };
    try {
      body(history, copy);
    } finally {
      for (const store of [history.store, ...opened]) store.close();
    }
  });
}

function check(store: Connection): void {
  checkLog(store);
  expectVerified(store.path);
}

describe("random histories", () => {
  test.each(seedsOf(fixedSeed).map((seed, index) => ({ seed, index })))(
    "from the end of the history of seed $seed to every second offset",
    ({ seed, index }) =>
      withHistory(seed, events, ({ portraits, store: newest }, copy) => {
        const kinds = new Set(
          openLog(newest)
            .read(0, { eventsMax: events, bytesMax: 1e9 })
            .map(({ kind }) => kind),
        );
        if (seed === fixedSeed) expect([...kinds].sort()).toEqual(["clear", "epoch", "facts", "keys", "policy"]);
        for (let offset = index; offset < portraits.length; offset += 2) {
          const portrait = must(portraits[offset]);
          const store = copy();
          const { state, undone } = recoverTo(store, offset, defaultLimits);
          expect(state).toEqual(portrait.state);
          expect(Object.values(undone).reduce((sum, count) => sum + count, 0)).toBe(events - offset);
          expect(readContents(store)).toEqual(portrait);
          check(store);
        }
      }),
    120_000,
  );

  test("and replicas can follow from there", () =>
    withHistory(7, events, ({ portraits }, copy) => {
      // Going back in steps gives the same as going back once.
      const store = copy();
      for (const offset of [41, 31, 30, 12]) {
        recoverTo(store, offset, defaultLimits);
        expect(readContents(store)).toEqual(must(portraits[offset]));
      }
      check(store);
    }));
});

const anyTime = Number.MAX_SAFE_INTEGER;
const far = { eventsMax: 1000, bytesMax: 1e9 };

describe("the target", () => {
  test("is an offset, or the last event at a time or before it", () =>
    withHistory(11, 12, ({ store }) => {
      const rows = openLog(store).read(0, far);
      const timeOf = (offset: number): number => must(rows[offset - 1]).timeMs;
      expect(earliestPointInTime(store)).toEqual({ offset: 0, timeMs: 0 });
      expect(recoveryOffset(store, undefined, anyTime)).toBe(12);
      for (const offset of [0, 1, 5, 12]) expect(recoveryOffset(store, { offset }, anyTime)).toBe(offset);
      for (const { offset, timeMs } of rows) {
        expect(recoveryOffset(store, { timeMs }, anyTime)).toBe(offset);
        expect(recoveryOffset(store, { timeMs: timeMs - 1 }, anyTime)).toBe(offset - 1);
      }
      expect(recoveryOffset(store, { timeMs: timeOf(12) + 999 }, timeOf(12) + 1000)).toBe(12);
      expect(() => recoveryOffset(store, { timeMs: timeOf(12) + 1001 }, timeOf(12) + 1000)).toThrow("is unknown");
      expect(() => recoveryOffset(store, { offset: 13 }, anyTime)).toThrow(
        "there is no offset 13: the newest is offset 12 of",
      );
    }));

  test("cannot be before the beginning of the log", () =>
    withHistory(12, 12, ({ portraits }, copy) => {
      const store = copy();
      openLog(store).trim(4);
      const { timeMs } = must(portraits[5]).state;
      expect(earliestPointInTime(store)).toEqual({ offset: 5, timeMs });
      const refused = `the earliest point is offset 5 of ${new Date(timeMs).toISOString()}`;
      expect(() => recoveryOffset(store, { offset: 4 }, anyTime)).toThrow(refused);
      expect(() => recoveryOffset(store, { timeMs: timeMs - 1 }, anyTime)).toThrow(refused);
      expect(recoverTo(store, recoveryOffset(store, { timeMs }, anyTime), defaultLimits).state).toEqual(
        must(portraits[5]).state,
      );
      check(store);
      openLog(store).trim(5);
      expect(earliestPointInTime(store)).toMatchObject({ offset: 5 });
    }));

  test("cannot be before an event that an older version stored incompletely, but can be before others", () =>
    withHistory(1, 40, ({ portraits, store: newest }, copy) => {
      const last = (kind: string): number =>
        must(
          openLog(newest)
            .read(0, far)
            .findLast((row) => row.kind === kind),
        ).offset;
      for (const kind of ["clear", "keys"]) {
        const store = copy();
        // As such a version stored it. (Then the chain hashes are different, which does not matter here.)
        if (kind === "clear") store.exec("DELETE FROM cleared");
        else store.exec("UPDATE log SET body = json_remove(body, '$.replaced') WHERE kind = 'keys'");
        const where = kind === "clear" ? "" : "WHERE kind <> 'clear'";
        store.exec(`UPDATE log SET digest = NULL ${where}`);
        const offset = last(kind);
        expect(earliestPointInTime(store).offset).toBe(offset);
        expect(() => recoveryOffset(store, { offset: offset - 1 }, anyTime)).toThrow("the earliest point");
        const { state } = recoverTo(store, offset, defaultLimits);
        expect(state.digest).toBe(must(portraits[offset]).state.digest);
        expect(readContents(store).facts).toEqual(must(portraits[offset]).facts);
        expectVerified(store.path);
      }
    }));

  test("may be before idempotency records that were removed: they are restored", () =>
    withHistory(13, 12, (_, copy) => {
      const store = copy();
      const before = readContents(store).answered;
      expect(before.length).toBeGreaterThan(2);
      store.exec("DELETE FROM answered");
      rewindIdempotencyRecords(store, 12, 100_012);
      expect(readContents(store).answered).toEqual(before);
      rewindIdempotencyRecords(store, 6, 12);
      expect(readContents(store).answered).toEqual(before.filter((row) => Number((row as unknown[])[1]) <= 6));
    }));
});

describe("a log that does not match the data is noticed, and nothing changes", () => {
  test.each([
    ["a fact is missing", "DELETE FROM fact_1; DELETE FROM fact_2", "a fact that it inserted is not there"],
    ["a cleared fact is missing", "DELETE FROM cleared WHERE rowid % 3 = 0", "the log does not match the data"],
    [
      "another digest is noted",
      "UPDATE log SET digest = '0123456789abcdef' WHERE offset = 7",
      "the log says 0123456789abcdef",
    ],
    ["a policy is another", "UPDATE policy SET source = 'actor User {}'", "is another one"],
    ["a key is missing", "DELETE FROM api_key", "does not match the data"],
  ])("%s", (_, sql, problem) =>
    withHistory(22, 20, (_history, copy) => {
      const store = copy();
      store.exec(sql);
      const before = readContents(store);
      expect(() => recoverTo(store, 0, defaultLimits)).toThrow(problem);
      expect(readContents(store)).toEqual(before);
    }),
  );

  test.each([
    ["a body", "UPDATE log SET body = body || ' ' WHERE offset = 9"],
    ["a hash", "UPDATE log SET hash = '0123456789abcdef' WHERE offset = 9"],
    ["a gap", "DELETE FROM log WHERE offset = 9"],
    ["the first row", "UPDATE log SET time_ms = time_ms + 1 WHERE offset = 1"],
    ["the end", "DELETE FROM log WHERE offset = 20"],
    ["an epoch", "UPDATE epoch SET hash = '0123456789abcdef' WHERE term > 0"],
  ])("%s", (_, sql) =>
    withHistory(22, 20, (_history, copy) => {
      const store = copy();
      checkLog(store);
      store.exec(sql);
      expect(() => checkLog(store)).toThrow("the log is damaged");
    }),
  );
});
