/**
 * Changes of the system clock: a jump forward removes no events, and event times are right as soon as the clock is
 * right.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { recoveryOffset } from "../../src/replication/backup/point-in-time.ts";
import { ageOf, hiddenCorrectionMsMax, eventTime } from "../../src/log/event/event-time.ts";
import { StoreWriter, type WriterEvent } from "../../src/log/writer/store-writer.ts";
import { newSequenceLock } from "../../src/store/connection/sequence-lock.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { openLog } from "../../src/store/log/log.ts";
import { onFailedTimer, systemClock, type Clock } from "../../src/util/clock.ts";
import { CheckedWallClock } from "../../src/util/checked-wall-clock.ts";
import { policy, reader } from "../replication/cluster.ts";

const minute = 60_000;
const day = 24 * 60 * minute;
const begin = Date.UTC(2026, 0, 1);

/** A clock that the test controls. */
class SetClock implements Clock {
  #monotonicMs = 0;
  #wallMs = begin;
  readonly #timers = new Set<{ readonly intervalMs: number; readonly body: () => void; nextMs: number }>();
  monotonicMs = (): number => this.#monotonicMs;
  wallMs = (): number => this.#wallMs;
  preciseMs = (): number => this.#wallMs;
  random = (): number => 0.5;
  after = (): (() => void) => () => {};
  every = (intervalMs: number, body: () => void): (() => void) => {
    const timer = { intervalMs, body, nextMs: this.#monotonicMs + intervalMs };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  pass(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
    for (const timer of this.#timers) {
      if (timer.nextMs > this.#monotonicMs) continue;
      timer.nextMs = this.#monotonicMs + timer.intervalMs;
      timer.body();
    }
  }

  set(byMs: number): void {
    this.#wallMs += byMs;
  }
}

let directory: string;
let clock: SetClock;
let told: WriterEvent[];
let writer: StoreWriter;
let count: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ostiary-clock-"));
  clock = new SetClock();
  told = [];
  count = 0;
  writer = new StoreWriter((event) => told.push(event), clock);
  const path = join(directory, "store.db");
  writer.open({ path, environment: "test", synchronous: "NORMAL", limits: defaultLimits, changes: newSequenceLock() });
});

afterEach(() => {
  writer.close();
  rmSync(directory, { recursive: true, force: true });
});

async function write(times: number, everyMs = 1000): Promise<void> {
  for (let index = 0; index < times; index++) {
    clock.pass(everyMs);
    const changes = [{ inserts: [reader(`user-${count++}`)] }];
    await writer.write({ kind: "batch", changes }, { traceparent: null });
  }
}

const loadPolicy = () =>
  writer.write(
    { kind: "policy", source: policy, filename: null, force: true },
    { traceparent: null, approval: { replaces: 0 } },
  );

function withLog<T>(
  body: (rows: readonly { offset: number; timeMs: number }[], store: ReturnType<typeof openStore>) => T,
): T {
  const store = openStore(join(directory, "store.db"), { readonly: true });
  try {
    return body(openLog(store).read(0, { eventsMax: 10_000, bytesMax: 1e9 }), store);
  } finally {
    store.close();
  }
}

const kept = (): number => withLog((rows) => rows.length);

describe("a clock that jumps forward", () => {
  test("removes no events by age while it may be wrong, and then a tenth at a time", async () => {
    await loadPolicy();
    await write(99);
    clock.set(400 * day);
    await write(5, 11_000);
    expect(kept()).toBe(105);
    expect(told.filter((event) => "clockSetMs" in event)).toEqual([{ clockSetMs: 400 * day }]);
    // If it is corrected within ten minutes, no event is lost.
    clock.pass(9 * minute);
    await write(1);
    clock.set(-400 * day);
    await write(80, minute);
    expect(kept()).toBe(186);
    // Otherwise there is time to notice.
    clock.set(400 * day);
    await write(1);
    clock.pass(9 * minute);
    await write(1);
    expect(kept()).toBe(188);
    clock.pass(2 * minute);
    await write(1);
    expect(kept()).toBe(189 - 18);
    await write(5, minute);
    expect(kept()).toBe(189 - 18 + 5);
  });

  test("that is corrected is followed by right times, which find positions", async () => {
    await loadPolicy();
    await write(10);
    clock.set(365 * day);
    await write(3);
    clock.set(-365 * day);
    await write(10);
    withLog((rows, store) => {
      const timeOf = (offset: number): number => rows[offset - 1]?.timeMs ?? 0;
      expect(rows.map(({ offset }) => offset)).toEqual(Array.from({ length: 24 }, (_, index) => index + 1));
      expect(timeOf(12)).toBeGreaterThan(begin + 364 * day);
      expect(rows.slice(14).every(({ timeMs }) => timeMs < begin + minute)).toBe(true);
      for (const { offset, timeMs } of rows.slice(14))
        expect(recoveryOffset(store, { timeMs }, clock.wallMs())).toBe(offset);
      expect(recoveryOffset(store, { timeMs: timeOf(5) }, clock.wallMs())).toBe(5);
      // Events under the wrong clock are between two right times, at an unknown one.
      expect(() => recoveryOffset(store, { timeMs: timeOf(11) }, clock.wallMs())).toThrow("any offset from 11 to 14");
      expect(recoveryOffset(store, { timeMs: clock.wallMs() }, clock.wallMs())).toBe(24);
    });
  });

  test("delays the removal of old events only while it lasts", async () => {
    await loadPolicy();
    clock.set(365 * day);
    await write(3);
    clock.set(-365 * day);
    await write(50);
    clock.pass(40 * day);
    await write(20, 11 * minute);
    expect(kept()).toBeLessThan(40);
  });
});

test("a small correction of the clock never moves times back, a large one does immediately", () => {
  expect(eventTime(1000, 900)).toBe(1000);
  expect(eventTime(1000, 1000 + hiddenCorrectionMsMax)).toBe(1000 + hiddenCorrectionMsMax);
  expect(eventTime(1000, 1001 + hiddenCorrectionMsMax)).toBe(1000);
});

test("a database whose last event is in the future is not considered up to date", () => {
  expect(ageOf(begin + 365 * day, clock)).toBe(365 * day);
  expect(ageOf(begin - day, clock)).toBe(day);
});

test("a clock is trusted after it has run evenly, and not after a change in either direction", () => {
  const steady = new CheckedWallClock(clock, 10 * minute);
  expect(steady.nowMs).toBeUndefined();
  clock.pass(10 * minute);
  expect(steady.nowMs).toBe(clock.wallMs());
  clock.set(500);
  expect(steady.nowMs).toBe(clock.wallMs());
  for (const by of [day, -day, 5000]) {
    clock.set(by);
    expect(steady.observe()).toBe(by === day ? day + 500 : by);
    expect(steady.nowMs).toBeUndefined();
    clock.pass(10 * minute);
    expect(steady.nowMs).toBe(clock.wallMs());
  }
});

test("a timer whose callback throws is reported, and continues", async () => {
  const reported: unknown[] = [];
  onFailedTimer((error) => reported.push(error));
  const thrice = Promise.withResolvers<void>();
  let runs = 0;
  const cancel = systemClock.every(2, () => {
    if (++runs === 3) thrice.resolve();
    throw new Error(`run ${runs}`);
  });
  await thrice.promise;
  cancel();
  onFailedTimer((error) =>
    queueMicrotask(() => {
      throw error;
    }),
  );
  expect(runs).toBeGreaterThan(2);
  expect(reported.length).toBe(runs);
});
