/** When keys were last used: what is kept, saved, reported and believed, also with wrong clocks, files and messages. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatUses, KeyUses, parseUses, type ReportUses, type UsesByKey } from "../../src/replication/key-uses.ts";
import { must } from "../../src/util/assert.ts";
import { type Clock, systemClock } from "../../src/util/clock.ts";
import { withDirectory } from "./cluster.ts";

const minuteMs = 60_000;
const begin = Date.UTC(2026, 5, 1);
const beginMinute = begin / minuteMs;

/** Its timers run only when the test says so. */
class ManualClock implements Clock {
  nowMs = begin;
  readonly #timers = new Set<() => void>();
  monotonicMs = systemClock.monotonicMs;
  wallMs = (): number => this.nowMs;
  preciseMs = this.wallMs;
  random = (): number => 0.5;
  after = (): (() => void) => () => {};
  every = (_: number, body: () => void): (() => void) => {
    this.#timers.add(body);
    return () => this.#timers.delete(body);
  };
  async tick(): Promise<void> {
    for (const body of this.#timers) body();
    // Reports are asynchronous, and those of the tests take one turn each.
    for (let turn = 0; turn < 200; turn++) await Promise.resolve();
  }
}

async function withUses(body: (uses: KeyUses, clock: ManualClock, directory: string) => Promise<void>): Promise<void> {
  await withDirectory(async (directory) => {
    const clock = new ManualClock();
    await body(new KeyUses(directory, clock), clock, directory);
  });
}

/** A primary that knows some uses, and records what it is told. */
function reporter(known: UsesByKey = {}) {
  const reports: UsesByKey[] = [];
  const report: ReportUses = async (uses) => {
    reports.push(uses);
    return known;
  };
  return { reports, report };
}

describe("last uses", () => {
  test("are known to the minute, and at most those of 1000 keys", () =>
    withUses(async (uses, clock) => {
      for (let index = 0; index < 5000; index++) uses.record(`k${index}`, clock.nowMs);
      uses.record("k4500", clock.nowMs + 90_000);
      clock.nowMs += 10 * minuteMs;
      expect(uses.lastUsedMs("k4500")).toBe(begin + minuteMs);
      expect(uses.lastUsedMs("k4999")).toBe(begin);
      expect(uses.lastUsedMs("k1")).toBeUndefined();
      expect(Object.keys(uses.all())).toHaveLength(1000);
    }));

  test("are saved at intervals and at the end, and only if there are new ones", () =>
    withUses(async (uses, clock, directory) => {
      const path = join(directory, "key-uses");
      const stop = uses.start(1);
      uses.record("a", begin);
      await clock.tick();
      expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ a: beginMinute });
      writeFileSync(path, "{}");
      await clock.tick();
      expect(readFileSync(path, "utf8")).toBe("{}");
      uses.record("b", begin);
      stop();
      expect(new KeyUses(directory, clock).all()).toEqual({ a: beginMinute, b: beginMinute });
    }));

  test.each(["", "null", "[1]", "{", '{"a":"b"}', '{"a":1e400}', "\\0"])(
    "of a damaged file (%s) are unknown",
    (content) =>
      withUses(async (_, clock, directory) => {
        writeFileSync(join(directory, "key-uses"), content);
        const uses = new KeyUses(directory, clock);
        expect(uses.all()).toEqual({});
        uses.record("a", begin);
        uses.start(1)();
        expect(new KeyUses(directory, clock).all()).toEqual({ a: beginMinute });
      }),
  );

  test("of other nodes count until now at most, and only if they are well-formed", () =>
    withUses(async (uses, clock) => {
      const hostile = {
        a: beginMinute - 5,
        future: beginMinute + 99,
        old: -1,
        zero: 0,
        part: 1.5,
        big: 1e300,
        nan: Number.NaN,
      };
      uses.merge({
        ...hostile,
        "with space": 5,
        "": 5,
        ["x".repeat(65)]: 5,
        constructor: 5,
      });
      expect(uses.all()).toEqual({ a: beginMinute - 5, future: beginMinute, constructor: 5 });
      uses.merge({ a: beginMinute - 9 });
      expect(uses.lastUsedMs("a")).toBe(begin - 5 * minuteMs);
      const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, beginMinute]));
      uses.merge(many);
      expect(Object.keys(uses.all()).length).toBeLessThanOrEqual(1000);
      clock.nowMs = 0;
      expect(uses.lastUsedMs("k1")).toBe(0);
    }));

  test("in a header come back; anything else in it is ignored", () => {
    expect(parseUses(formatUses({ a: 5, "b-1": 6 }))).toEqual({ a: 5, "b-1": 6 });
    expect(Object.keys(parseUses("x=1,".repeat(100_000))).length).toBeLessThanOrEqual(64);
    expect(parseUses("")).toEqual({ "": Number.NaN });
  });
});

describe("reports", () => {
  test("have new uses only, 64 at a time, and bring those of other nodes", () =>
    withUses(async (uses, clock) => {
      const { reports, report } = reporter({ other: beginMinute - 1 });
      for (let index = 0; index < 150; index++) uses.record(`k${index}`, begin);
      uses.start(1, report);
      await clock.tick();
      expect(reports.map((each) => Object.keys(each).length)).toEqual([64, 64, 22]);
      expect(uses.lastUsedMs("other")).toBe(begin - minuteMs);
      uses.record("k7", begin + 1);
      await clock.tick();
      uses.record("k7", begin + minuteMs);
      await clock.tick();
      expect(reports.slice(3)).toEqual([{}, { k7: beginMinute + 1 }]);
    }));

  test("are repeated if the primary does not answer, one at a time; a primary of 0.1.0 gets no more than one each time", () =>
    withUses(async (uses, clock) => {
      const sent: UsesByKey[] = [];
      const answers: PromiseWithResolvers<UsesByKey | undefined>[] = [];
      uses.start(1, (given) => {
        sent.push(given);
        answers.push(Promise.withResolvers());
        return must(answers.at(-1)).promise;
      });
      uses.record("a", begin);
      await clock.tick();
      await clock.tick();
      expect(sent).toHaveLength(1);
      answers[0]?.reject(new Error("no answer"));
      await clock.tick();
      await clock.tick();
      expect(sent).toEqual([{ a: beginMinute }, { a: beginMinute }]);
      answers[1]?.resolve(undefined);
      await clock.tick();
      await clock.tick();
      expect(sent).toHaveLength(3);
    }));

  test("continue after the clock of the node was ahead", () =>
    withUses(async (uses, clock) => {
      const { reports, report } = reporter();
      uses.start(1, report);
      uses.record("a", begin + 9000 * minuteMs);
      await clock.tick();
      uses.record("a", begin);
      await clock.tick();
      expect(reports).toEqual([{ a: beginMinute + 9000 }, { a: beginMinute }]);
    }));
});
