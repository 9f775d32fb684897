/** Retention of the log by number, age and size, and the position in the log at a moment. */
import { describe, expect, test } from "bun:test";
import { openStore } from "../../src/store/connection/open-store.ts";
import { expiredOffset, excessOffset, offsetsAt } from "../../src/store/log/log-retention.ts";
import { openLog, type StoredLogRow } from "../../src/store/log/log.ts";

const hour = 3_600_000;
const everything = { events: 1e9, bytes: 1e12 };

/** One event per hour, each of 100 bytes, from offset 11 on. */
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

describe("the excess", () => {
  test("is nothing if everything fits", () =>
    withLog((store) => expect(excessOffset(store, everything)).toBeUndefined()));

  test.each([
    ["by number", { events: 20 }, 40],
    ["by size", { bytes: 2000 }, 40],
    ["by size, including a body that is only partly over the limit", { bytes: 2099 }, 40],
    ["by the strictest limit", { events: 40, bytes: 1000 }, 50],
  ])("%s", (_, retention, expected) =>
    withLog((store, log) => {
      const excess = excessOffset(store, { ...everything, ...retention });
      expect(excess).toBe(expected);
      log.trim(excess ?? 0);
      expect(log.trimmedTo()).toBe(expected);
      expect(excessOffset(store, { ...everything, ...retention })).toBeUndefined();
    }),
  );

  test("never includes the last event, even if it is too large", () =>
    withLog((store, log) => {
      log.append(row(61, 51 * hour, "x".repeat(10_000)));
      expect(excessOffset(store, { ...everything, bytes: 100 })).toBe(60);
    }));
});

describe("events that are too old", () => {
  test("are removed, a tenth of the log at a time", () =>
    withLog((store, log) => {
      expect(expiredOffset(store, 20 * hour, 50 * hour)).toBe(15);
      expect(expiredOffset(store, 48 * hour, 50 * hour)).toBe(11);
      expect(expiredOffset(store, 50 * hour, 50 * hour)).toBeUndefined();
      for (
        let last = expiredOffset(store, 20 * hour, 50 * hour);
        last !== undefined;
        last = expiredOffset(store, 20 * hour, 50 * hour)
      )
        log.trim(last);
      expect(log.trimmedTo()).toBe(39);
      log.trim(60);
      expect(expiredOffset(store, 1, 50 * hour)).toBeUndefined();
    }));

  test("are removed together with events of the future that a fast clock left among them", () =>
    withLog((store, log) => {
      log.trim(59);
      log.append(row(61, 9000 * hour, "x"));
      log.append(row(62, 52 * hour, "x"));
      log.append(row(63, 9000 * hour, "x"));
      for (let offset = 64; offset <= 100; offset++) log.append(row(offset, 99 * hour, "x"));
      expect(expiredOffset(store, 10 * hour, 99 * hour)).toBe(62);
      log.trim(62);
      expect(expiredOffset(store, 10 * hour, 99 * hour)).toBeUndefined();
    }));

  test("are removed only before the first event that is young enough, even if a later one claims to be older", () =>
    withLog((store, log) => {
      log.trim(59);
      log.append(row(61, 98 * hour, "x"));
      for (let offset = 62; offset <= 100; offset++) log.append(row(offset, hour, "x"));
      expect(expiredOffset(store, 10 * hour, 99 * hour)).toBe(60);
    }));
});

describe("the position at a moment", () => {
  const at = (offset: number) => ({ first: offset, last: offset });
  const later = 10_000 * hour;

  test("is after the last event up to that moment, also between two events", () =>
    withLog((store) => {
      expect(offsetsAt(store, hour - 1, later)).toEqual(at(10));
      expect(offsetsAt(store, hour, later)).toEqual(at(11));
      expect(offsetsAt(store, 7.5 * hour, later)).toEqual(at(17));
      expect(offsetsAt(store, 999 * hour, later)).toEqual(at(60));
    }));

  test("is ambiguous if the clock was set back by hours, and only then", () =>
    withLog((store, log) => {
      // The clock was three hours ahead for two events.
      log.append(row(61, 54 * hour, "x"));
      log.append(row(62, 54.5 * hour, "x"));
      log.append(row(63, 52 * hour, "x"));
      expect(offsetsAt(store, 51 * hour, later)).toEqual(at(60));
      expect(offsetsAt(store, 53 * hour, later)).toEqual({ first: 60, last: 63 });
      expect(offsetsAt(store, 54 * hour, later)).toEqual({ first: 61, last: 63 });
      expect(offsetsAt(store, 55 * hour, later)).toEqual(at(63));
    }));

  test("does not depend on events of the future that are followed by others", () =>
    withLog((store, log) => {
      for (let offset = 61; offset <= 64; offset++) log.append(row(offset, 9000 * hour, "x"));
      log.append(row(65, 51 * hour, "x"));
      log.append(row(66, 60 * hour, "x"));
      expect(offsetsAt(store, 50 * hour, 70 * hour)).toEqual({ first: 60, last: 64 });
      expect(offsetsAt(store, 51 * hour, 70 * hour)).toEqual(at(65));
      expect(offsetsAt(store, 60 * hour, 70 * hour)).toEqual(at(66));
    }));
});
