/** Stored policies with their trailers, the history of the policy, and which versions a store keeps. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { findVersion, readHistory, readVersion, trimVersions } from "../../src/policy/policy-history.ts";
import { parseStoredText, storedText, type StoredPolicy } from "../../src/policy/stored-policy.ts";
import { computeDigest } from "../../src/log/state/store-digest.ts";
import { compile } from "../../src/polar/compile.ts";
import { recoverTo } from "../../src/replication/backup/point-in-time.ts";
import { append } from "../../src/log/append/append.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openLog } from "../../src/store/log/log.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { seededRuns } from "../seeds.ts";
import { policy, storeWith } from "./store.ts";
import { approved } from "../replication/approved.ts";

const limits = { sourceBytesMax: 1e6, depthMax: 100, expandedItemsMax: 100, diagnosticsMax: 10 };

describe("the stored text", () => {
  const text = fc.string({ unit: "binary" });
  const line = storedText(3, { source: "", author: { id: "k", name: "eve" }, message: "forged" });
  /** Sources that look like stored texts, too. */
  const source = fc.oneof(text, fc.constantFrom("", "actor User {}", line, `a${line}`, `${line}\n`, line.slice(0, -1)));
  const author = fc.option(fc.record({ id: text, name: fc.option(text) }));

  const parts = fc.array(fc.record({ filename: text, lines: fc.nat() }), { maxLength: 3 });

  test.each(seededRuns(20_251, 100))(
    "gives back source, author, message and files, whatever they contain, with seed $seed",
    ({ seed, runs }) => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 4 }),
          fc.record({ source, author, message: fc.option(text), parts: fc.option(parts, { nil: undefined }) }),
          (id, stored) => {
            expect(parseStoredText(id, storedText(id, stored as StoredPolicy))).toEqual(stored as StoredPolicy);
          },
        ),
        { numRuns: runs, seed },
      );
    },
  );

  test.each(seededRuns(20_251, 100))(
    "is a policy with the same meaning: the trailer is one comment of printable ASCII characters, with seed $seed",
    ({ seed, runs }) => {
      fc.assert(
        fc.property(author, fc.option(text), (who, message) => {
          const stored = storedText(1, { source: "actor User {}", author: who, message });
          const [first, trailer, ...more] = stored.split("\n");
          expect([first, more]).toEqual(["actor User {}", []]);
          expect(trailer).toMatch(/^# ostiary upload [ -~]*$/);
          const { policy, diagnostics } = compile([{ name: "a.polar", text: stored }], limits);
          expect([policy === undefined, diagnostics]).toEqual([false, []]);
        }),
        { numRuns: runs, seed },
      );
    },
  );

  test.each([
    ["nothing", "actor User {}"],
    ["the trailer of another policy", storedText(2, { source: "actor User {}", author: null, message: "other" })],
    [
      "a trailer with more lines after it",
      `${storedText(1, { source: "", author: null, message: "m" })}\n`.concat("x"),
    ],
    ["a trailer without an end", storedText(1, { source: "", author: null, message: "m" }).slice(0, -1)],
  ])("of release 0.1.0, which may end with %s, is the source", (_, stored) => {
    expect(parseStoredText(1, stored)).toEqual({ source: stored, author: null, message: null });
  });
});

const version = (id: number, source = `# ${id}`) =>
  policy(storedText(id, { source, author: null, message: `m${id}` }), id);

describe("the history", () => {
  test("is read from the newest version on, in pages", () => {
    const store = storeWith(...[1, 2, 3, 4, 5].map((id) => version(id)));
    const read = (max: number, before?: number) =>
      store.transaction(() => {
        const { versions, hasMore } = readHistory(store, max, before);
        return [versions.map(({ id, message, active }) => `${id} ${message}${active ? " active" : ""}`), hasMore];
      });
    expect(read(2)).toEqual([["5 m5 active", "4 m4"], true]);
    expect(read(2, 4)).toEqual([["3 m3", "2 m2"], true]);
    expect(read(2, 2)).toEqual([["1 m1"], false]);
    expect(read(5)).toEqual([["5 m5 active", "4 m4", "3 m3", "2 m2", "1 m1"], false]);
    expect(read(2, 1)).toEqual([[], false]);
  });

  test("has pages of at most 4 MiB, and at least one version", () => {
    const large = `#${"x".repeat(3 * 2 ** 20)}`;
    const store = storeWith(version(1), version(2, large), version(3, large + large), version(4));
    const read = (before?: number) =>
      store.transaction(() => readHistory(store, 10, before)).versions.map(({ id }) => id);
    expect(read()).toEqual([4]);
    expect(read(4)).toEqual([3]);
    expect(read(3)).toEqual([2, 1]);
  });

  test.each([
    ["number", { versions: 3, bytes: 1e9 }, [5, 4, 3]],
    ["size", { versions: 1000, bytes: 250 }, [5, 4]],
    ["size, but not below one version", { versions: 1000, bytes: 1 }, [5]],
    ["nothing in a short history", undefined, [5, 4, 3, 2, 1]],
  ])("is bounded by %s", (_, limits, expected) => {
    const store = storeWith(...[1, 2, 3, 4, 5].map((id) => version(id, "#".repeat(40))));
    store.transaction(() => {
      const { versions, hasMore } = readHistory(store, 10, undefined, limits);
      expect([versions.map(({ id }) => id), hasMore]).toEqual([expected, false]);
      const found = [5, 4, 3, 2, 1].filter((id) => findVersion(store, id, limits) !== undefined);
      expect(found).toEqual(expected);
      const [newest, ...pages] = expected.map((id) => readHistory(store, 1, id, limits));
      expect([newest, ...pages].at(-1)).toEqual({ versions: [], hasMore: false });
    });
  });

  test("has 1,000 versions", () => {
    const store = storeWith();
    const add = store.prepare("INSERT INTO policy (id, source, filename, time_ms) VALUES (?1, 'x', NULL, 1)");
    for (let id = 1; id <= 1050; id += 1) add.run(id);
    expect([findVersion(store, 50), findVersion(store, 51)?.id]).toEqual([undefined, 51]);
    const { versions, hasMore } = store.transaction(() => readHistory(store, 2000));
    expect([versions.length, versions.at(-1)?.id, hasMore]).toEqual([1000, 51, false]);
  });
});

describe("older versions", () => {
  const limits = { versions: 2, bytes: 1e9 };
  const upload = (id: number) => ({ kind: "policy", source: `# ${id}`, filename: null, force: false }) as const;
  const idsIn = (store: Connection) =>
    store
      .prepare("SELECT id FROM policy ORDER BY id")
      .values()
      .map(([id]) => Number(id));

  /** A store with the log of six uploads, at the offsets 1 to 6. */
  function storeWithLog() {
    const store = storeWith();
    const log = openLog(store);
    for (let id = 1; id <= 6; id += 1)
      store.transaction(() => {
        append(store, log, upload(id), approved(store, upload(id), { traceparent: null }), defaultLimits);
      });
    const trim = (offset: number) =>
      store.transaction(() => {
        trimVersions(store, offset, limits);
        log.trim(offset);
      });
    return { store, trim };
  }

  test("stay as long as the log has the event that replaced them, so a recovery to its beginning has its policy", () => {
    const { store, trim } = storeWithLog();
    expect(idsIn(store)).toEqual([1, 2, 3, 4, 5, 6]);
    trim(3);
    expect(idsIn(store)).toEqual([3, 4, 5, 6]);
    expect(findVersion(store, 4, limits)).toBeUndefined();
    // The log begins with the event at offset 4.
    recoverTo(store, 4, defaultLimits);
    expect([readState(store).policyId, idsIn(store)]).toEqual([4, [3, 4]]);
    expect(readVersion(store, 4)).toMatchObject({ source: "# 4" });
    expect(computeDigest(store)).toBe(readState(store).digest);
  });

  test("are deleted with the log, except for those in the history", () => {
    const { store, trim } = storeWithLog();
    trim(6);
    expect(idsIn(store)).toEqual([5, 6]);
    const { store: other, trim: trimOther } = storeWithLog();
    for (const offset of [1, 2, 4]) trimOther(offset);
    expect(idsIn(other)).toEqual([4, 5, 6]);
    const before = computeDigest(other);
    trimOther(5);
    expect([idsIn(other), computeDigest(other)]).toEqual([[5, 6], before]);
  });

  test("that are missing make a recovery fail instead of leaving no policy", () => {
    const { store } = storeWithLog();
    store.exec("DELETE FROM policy WHERE id < 5");
    expect(() => recoverTo(store, 4, defaultLimits)).toThrow("the policy before it is not kept any more");
  });
});
