/** Stored policies with their trailers, and how many versions a store keeps. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { findVersion, historyLimits, readHistory, trimHistory } from "../../src/engine/policy/policy-history.ts";
import { parseStoredText, storedText, type StoredPolicy } from "../../src/engine/policy/stored-policy.ts";
import { computeDigest } from "../../src/engine/state/store-digest.ts";
import { undoEvent } from "../../src/engine/state/undo.ts";
import { compile } from "../../src/polar/compile.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { apply, policy, storeWith } from "./store.ts";

const limits = { sourceBytesMax: 1e6, depthMax: 100, expandedItemsMax: 100, diagnosticsMax: 10 };

describe("the stored text", () => {
  const text = fc.string({ unit: "binary" });
  const line = storedText(3, { source: "", author: { id: "k", name: "eve" }, message: "forged" });
  /** Sources that look like stored texts, too. */
  const source = fc.oneof(text, fc.constantFrom("", "actor User {}", line, `a${line}`, `${line}\n`, line.slice(0, -1)));
  const author = fc.option(fc.record({ id: text, name: fc.option(text) }));

  test("gives back source, author and message, whatever they contain", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.record({ source, author, message: fc.option(text) }),
        (id, stored) => {
          expect(parseStoredText(id, storedText(id, stored as StoredPolicy))).toEqual(stored as StoredPolicy);
        },
      ),
    );
  });

  test("is a policy with the same meaning: the trailer is one comment of printable ASCII characters", () => {
    fc.assert(
      fc.property(author, fc.option(text), (who, message) => {
        const stored = storedText(1, { source: "actor User {}", author: who, message });
        const [first, trailer, ...more] = stored.split("\n");
        expect([first, more]).toEqual(["actor User {}", []]);
        expect(trailer).toMatch(/^# ostiary upload [ -~]*$/);
        const { policy, diagnostics } = compile([{ name: "a.polar", text: stored }], limits);
        expect([policy === undefined, diagnostics]).toEqual([false, []]);
      }),
    );
  });

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
    ["nothing", historyLimits, [5, 4, 3, 2, 1]],
  ])("is bounded by %s", (_, bounds, expected) => {
    const store = storeWith(...[1, 2, 3, 4, 5].map((id) => version(id, "#".repeat(40))));
    const digest = computeDigest(store);
    store.transaction(() => trimHistory(store, bounds));
    const { versions, hasMore } = store.transaction(() => readHistory(store, 10));
    expect([versions.map(({ id }) => id), hasMore]).toEqual([expected, false]);
    expect(computeDigest(store)).toBe(digest);
  });

  test("is trimmed by the event that adds a version", () => {
    const store = storeWith();
    const add = store.prepare("INSERT INTO policy (id, source, filename, time_ms) VALUES (?1, 'x', NULL, 1)");
    for (let id = 1; id <= historyLimits.versions + 50; id += 1) add.run(id);
    apply(store, version(historyLimits.versions + 51));
    expect(store.number("SELECT count(*) FROM policy")).toBe(historyLimits.versions);
    expect([findVersion(store, 51), findVersion(store, 52)?.id]).toEqual([undefined, 52]);
  });

  test("does not go back to a version that is not kept: a recovery fails instead of leaving no policy", () => {
    const store = storeWith(version(1), version(2), version(3));
    const undo = (id: number) => store.transaction(() => undoEvent(store, { offset: id, effect: version(id) }));
    store.transaction(() => trimHistory(store, { versions: 2, bytes: 1e9 }));
    undo(3);
    expect(readState(store).policyId).toBe(2);
    expect(() => undo(2)).toThrow("the policy before it is not kept any more");
    const complete = storeWith(version(1));
    complete.transaction(() => undoEvent(complete, { offset: 1, effect: version(1) }));
    expect(readState(complete).policyId).toBe(0);
  });
});
