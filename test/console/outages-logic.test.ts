/** How the console notices that a node is away, without a browser: its watch, and the age of data. */
import { describe, expect, test } from "bun:test";
import { NodeWatch } from "../../src/console/ui/api/node-watch.ts";
import { freshnessOf } from "../../src/console/ui/overview/freshness.ts";
import { formatAge, isOld } from "../../src/console/ui/components/age.ts";

/** A watch with a clock that the test moves, and probes that the test answers. */
function watched() {
  const probes: ((isAlive: boolean) => void)[] = [];
  /** What was shown, each value once. */
  const shown: (number | undefined)[] = [undefined];
  let nowMs = 1000;
  const watch = new NodeWatch(
    () => new Promise((resolve) => probes.push(resolve)),
    () => nowMs,
    (sinceMs) => sinceMs === shown.at(-1) || shown.push(sinceMs),
  );
  const pass = (ms: number): void => {
    nowMs += ms;
    void watch.check();
  };
  const answer = async (isAlive: boolean): Promise<void> => {
    probes.shift()?.(isAlive);
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { watch, probes, shown, pass, answer };
}

describe("the watch of the node", () => {
  test("asks rarely while nothing is awaited, and soon while a request waits", () => {
    const { watch, probes, pass } = watched();
    pass(3900);
    expect(probes).toHaveLength(0);
    const end = watch.begin();
    pass(0);
    expect(probes).toHaveLength(1);
    end();
    const idle = watched();
    idle.watch.begin()();
    idle.pass(3900);
    expect(idle.probes).toHaveLength(0);
    idle.pass(100);
    expect(idle.probes).toHaveLength(1);
  });

  test("asks nothing while other requests are answered", () => {
    const { watch, probes, pass } = watched();
    watch.begin();
    for (let count = 0; count < 20; count++) {
      pass(1400);
      watch.noteAnswer();
    }
    expect(probes).toHaveLength(0);
  });

  test("notices a node that hangs, and its next answer", async () => {
    const { watch, probes, shown, pass, answer } = watched();
    watch.begin();
    pass(1500);
    pass(3000);
    expect(probes).toHaveLength(1);
    await answer(false);
    expect(shown).toEqual([undefined, 2500]);
    pass(1000);
    await answer(false);
    pass(1000);
    await answer(true);
    expect(shown).toEqual([undefined, 2500, undefined]);
  });

  test("does not take one failed request for an outage", async () => {
    const { watch, probes, shown, answer } = watched();
    void watch.checkNow();
    void watch.checkNow();
    expect(probes).toHaveLength(1);
    await answer(true);
    expect(shown).toEqual([undefined]);
  });

  test("believes an answer that came while a probe waited", async () => {
    const { watch, shown, pass, answer } = watched();
    watch.begin();
    pass(1500);
    watch.noteAnswer();
    await answer(false);
    expect(shown).toEqual([undefined]);
  });
});

test("data is old after its limit, and when the clock was set back", () => {
  expect([isOld(1000, 5000, 4000), isOld(1000, 5001, 4000), isOld(9000, 1000, 4000)]).toEqual([false, true, true]);
  expect(isOld(0, Number.MAX_SAFE_INTEGER, Infinity)).toBe(false);
});

test("an age is in whole seconds at least", () => {
  expect([900, 45_999, 600_000].map((nowMs) => formatAge(0, nowMs))).toEqual(["1 s", "45 s", "10 min"]);
});

describe("a statement about the present", () => {
  const support = { atMs: 10_000, error: undefined, freshMsMax: 5000 };

  test("is supported by fresh answers of a node that is not silent", () => {
    const supports = [support, { ...support, atMs: 12_000 }];
    expect(freshnessOf(supports, 15_000, false)).toBe("fresh");
    expect(freshnessOf(supports, 15_000, true)).toEqual({ oldestMs: 10_000 });
    expect(freshnessOf(supports, 16_000, false)).toEqual({ oldestMs: 10_000 });
    // A request that failed once is sent again before its answer is old.
    expect(freshnessOf([{ ...support, error: new Error("late") }], 15_000, false)).toBe("fresh");
  });

  test("waits for answers that never came", () => {
    const missing = { ...support, atMs: undefined };
    expect(freshnessOf([support, missing], 15_000, false)).toBe("loading");
    expect(freshnessOf([support, missing], 15_000, true)).toBe("missing");
    expect(freshnessOf([support, { ...missing, error: new Error("failed") }], 15_000, false)).toBe("missing");
  });
});
