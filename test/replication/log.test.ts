/** The log of a store: what is kept of it by number, age and size, and what stood where at some moment. */
import { describe, expect, test } from "bun:test";
import { openStore } from "../../src/store/database.ts";
import { excessOf, offsetAt } from "../../src/store/log-retention.ts";
import { openLog, type StoredLogRow } from "../../src/store/log.ts";

const hour = 3_600_000;
const everything = { events: 1e9, bytes: 1e12, ageMs: 1e15 };

/** One event an hour, each of 100 bytes, from offset 11 on. */
function withLog(body: (store: ReturnType<typeof openStore>, log: ReturnType<typeof openLog>) => void): void {
  const store = openStore(":memory:");
  try {
    const log = openLog(store);
    for (let event = 1; event <= 50; event++) log.append(row(10 + event, event * hour, "x".repeat(100)));
    body(store, log);
  } finally {
    store.close();
  }
}

const row = (offset: number, timeMs: number, body: string): StoredLogRow => ({
  offset,
  timeMs,
  kind: "facts",
  body,
  traceparent: null,
  hash: "0000000000000000",
  digest: "0000000000000000",
});

describe("what must go", () => {
  test("is nothing where all of it fits", () =>
    withLog((store) => expect(excessOf(store, everything, 50 * hour)).toBeUndefined()));

  test.each([
    ["by number", { events: 20 }, 40],
    ["by size", { bytes: 2000 }, 40],
    ["by size, a body that is cut through goes too", { bytes: 2099 }, 40],
    ["by age", { ageMs: 20 * hour }, 39],
    ["by whatever asks for most", { events: 40, bytes: 1000, ageMs: 30 * hour }, 50],
  ])("%s", (_, retention, expected) =>
    withLog((store, log) => {
      const excess = excessOf(store, { ...everything, ...retention }, 50 * hour);
      expect(excess).toBe(expected);
      log.trim(excess ?? 0);
      expect(log.trimmedTo()).toBe(expected);
      expect(excessOf(store, { ...everything, ...retention }, 50 * hour)).toBeUndefined();
    }),
  );

  test("is not the last event, however large it is", () =>
    withLog((store, log) => {
      log.append(row(61, 51 * hour, "x".repeat(10_000)));
      expect(excessOf(store, { ...everything, bytes: 100 }, 51 * hour)).toBe(60);
    }));

  test("is what is too old, also all of it", () =>
    withLog((store, log) => {
      expect(excessOf(store, { ...everything, ageMs: hour }, 500 * hour)).toBe(60);
      log.trim(60);
      expect(log.trimmedTo()).toBeUndefined();
      log.append(row(61, 501 * hour, "x"));
      expect(excessOf(store, { ...everything, bytes: 100 }, 501 * hour)).toBeUndefined();
    }));
});

test("the event that was the last at a moment is found, also between two", () =>
  withLog((store) => {
    expect(offsetAt(store, hour - 1)).toBeUndefined();
    expect(offsetAt(store, hour)).toBe(11);
    expect(offsetAt(store, 7.5 * hour)).toBe(17);
    expect(offsetAt(store, 999 * hour)).toBe(60);
  }));
