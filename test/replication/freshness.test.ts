/** What proves to a copy that it is the newest, by a clock that the test moves. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { decodeHead, type Head } from "../../src/replication/transport/messages.ts";
import { Confirmations } from "../../src/replication/replica/confirmations.ts";
import { Freshness, proofTimeOf } from "../../src/replication/replica/freshness.ts";
import { CatchUpRequests } from "../../src/replication/replica/catch-up-requests.ts";
import type { Clock } from "../../src/util/clock.ts";

const epoch = "0123456789abcdef";
const later = "fedcba9876543210";

function head(change: Partial<Head>): Head {
  const standing = { v: 1, s: "test", e: epoch, n: 5, t: 0, l: 10, h: epoch, d: epoch, trim: 0 } as const;
  return { ...standing, from: [0, epoch], role: "primary", ack: false, ...change };
}

interface MovedClock extends Clock {
  pass(ms: number): void;
}

function movedClock(): MovedClock {
  let nowMs = 0;
  let timers: { readonly atMs: number; readonly body: () => void }[] = [];
  const after = (delayMs: number, body: () => void): (() => void) => {
    const timer = { atMs: nowMs + delayMs, body };
    timers.push(timer);
    return () => void (timers = timers.filter((other) => other !== timer));
  };
  return {
    monotonicMs: () => nowMs,
    wallMs: () => 0,
    preciseMs: () => 0,
    after,
    every: () => () => {},
    random: () => 0,
    pass(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        const next = timers.toSorted((one, two) => one.atMs - two.atMs)[0];
        if (next === undefined || next.atMs > endMs) break;
        timers = timers.filter((other) => other !== next);
        nowMs = next.atMs;
        next.body();
      }
      nowMs = endMs;
    },
  };
}

function freshCopy(maxStalenessMs?: number) {
  const clock = movedClock();
  const freshness = new Freshness({ limits: defaultLimits, maxStalenessMs, clock });
  const reach = (): void => void freshness.onPosition({ epoch, offset: 10 });
  return {
    clock,
    freshness,
    /** The primary answers with that number. */
    answer(change: Partial<Head>, question = freshness.startProbe()) {
      freshness.onPrimaryHead(head(change), question);
      freshness.expect({ head: head(change), atMs: proofTimeOf(head(change), question), source: "primary" });
      reach();
    },
    /** A head comes by the feed. */
    hear(change: Partial<Head>) {
      const kind = freshness.classify(head(change), false);
      if (kind !== "newer") return kind;
      freshness.onHead(head(change));
      freshness.expect({ head: head(change), atMs: clock.monotonicMs(), source: "stream" });
      reach();
      return kind;
    },
  };
}

test("a head proves something only behind an answer of the primary, and with a greater number than all before", () => {
  const { freshness, clock, answer, hear } = freshCopy();
  expect(hear({ q: 7 })).toBe("hint");
  expect(freshness.ageMs).toBeNull();
  answer({ q: 7 });
  expect(freshness.ageMs).toBe(0);
  clock.pass(1000);
  expect([hear({ q: 7 }), hear({ q: 6 }), hear({}), hear({ e: later, n: 6, q: 1 })]).toEqual([
    "same",
    "older",
    "hint",
    "hint",
  ]);
  expect(hear({ e: later, n: 4, q: 100 })).toBe("older");
  expect(freshness.classify(head({ q: 8 }), true)).toBe("hint");
  expect(freshness.ageMs).toBe(1000);
  expect(hear({ q: 8 })).toBe("newer");
  expect(freshness.ageMs).toBe(0);
  expect(hear({ q: 8 })).toBe("same");
  // Whoever asks the primary learns of numbers that are still on their way.
  answer({ q: 20 });
  expect([hear({ q: 19 }), hear({ q: 20 }), hear({ q: 21 })]).toEqual(["older", "same", "newer"]);
});

test("another epoch has numbers of its own, and so has a primary whose directory is an old one", () => {
  const { answer, hear, freshness } = freshCopy();
  answer({ q: 100 });
  answer({ e: later, n: 6, q: 3 });
  expect(hear({ q: 101 })).toBe("older");
  answer({ q: 100 });
  const early = freshness.startProbe();
  expect(hear({ q: 102 })).toBe("newer");
  // It was asked before.
  answer({ q: 101 }, early);
  expect(hear({ q: 102 })).toBe("same");
  answer({ q: 50 });
  expect(hear({ q: 51 })).toBe("newer");
});

test("without answers of the primary heads are believed for a window and one poll interval, and never too long", () => {
  for (const [maxMs, windowMs, trustMs] of [
    [undefined, 6000, 8000],
    [30_000, 6000, 8000],
    [5000, 2500, 4500],
    [1000, 500, 1000],
  ] as const) {
    const { freshness, clock, answer, hear } = freshCopy(maxMs);
    expect(freshness.windowMs).toBe(windowMs);
    answer({ q: 1 });
    for (let q = 2, atMs = 100; atMs <= trustMs; q++, atMs += 100) {
      clock.pass(100);
      hear({ q });
      expect(freshness.ageMs).toBe(0);
    }
    expect(freshness.isTrusted).toBe(true);
    clock.pass(100);
    hear({ q: 1000 });
    expect(freshness.ageMs).toBe(trustMs + 100);
    expect(freshness.isTrusted).toBe(false);
  }
});

test("what arrives late was true when it was asked for", () => {
  const { freshness, clock, answer } = freshCopy();
  const question = freshness.startProbe();
  clock.pass(700);
  answer({ q: 1 }, question);
  expect(freshness.ageMs).toBe(700);
  // An edge in place of a primary is no newer than it knows itself to be.
  answer({ role: "edge", a: 300 });
  expect(freshness.ageMs).toBe(300);
  clock.pass(1000);
  for (const unknown of [{ role: "edge" }, { role: "edge", a: null }, { a: null }] as const) answer(unknown);
  expect(freshness.ageMs).toBe(1300);
  answer({ q: 2 });
  expect(freshness.ageMs).toBe(0);
});

test("a head ahead of the copy counts from its own moment, once the copy is there", () => {
  const { freshness, clock, answer, hear } = freshCopy();
  answer({ q: 1 });
  clock.pass(1000);
  expect(hear({ q: 2, l: 12 })).toBe("newer");
  clock.pass(500);
  expect(freshness.ageMs).toBe(1500);
  freshness.onPosition({ epoch, offset: 11 });
  expect(freshness.ageMs).toBe(1500);
  freshness.onPosition({ epoch, offset: 12 });
  expect(freshness.ageMs).toBe(500);
});

test("how long ago a head was superseded", () => {
  const { freshness, clock, answer, hear } = freshCopy();
  answer({ q: 1 });
  for (let q = 2; q < 8; q++) {
    clock.pass(1000);
    hear({ q });
  }
  expect([6, 4, 1].map((q) => freshness.supersededMsAgo(head({ q })))).toEqual([0, 2000, 5000]);
});

test("the primary is asked within each window, and not again when it was asked for another reason", () => {
  const clock = movedClock();
  let asked = 0;
  const ask = (): Promise<void> => (asked++, Promise.resolve());
  const confirmations = new Confirmations({ windowMs: 4000, clock, ask });
  confirmations.start();
  for (let poll = 0; poll < 10; poll++) {
    clock.pass(2000);
    confirmations.answered(clock.monotonicMs());
  }
  expect(asked).toBe(0);
  clock.pass(4000);
  expect(asked).toBe(1);
});

test("nothing is asked after a stop, although an answer that was under way comes later", async () => {
  const clock = movedClock();
  let asked = 0;
  const confirmations = new Confirmations({ windowMs: 4000, clock, ask: () => (asked++, Promise.resolve()) });
  confirmations.start();
  await confirmations.stop();
  confirmations.answered(clock.monotonicMs());
  confirmations.request();
  clock.pass(60_000);
  expect(asked).toBe(0);
});

test("hints of which the primary knows nothing are followed less and less often", () => {
  const clock = movedClock();
  const askedAtMs: number[] = [];
  let brings = false;
  const ask = (): void => {
    askedAtMs.push(clock.monotonicMs());
    hints.onAnswer(brings);
  };
  const hints = new CatchUpRequests({ limits: { retryDelayMsMin: 50, retryDelayMsMax: 2000 }, clock, start: ask });
  for (let ms = 0; ms < 10_000; ms += 10) {
    hints.request();
    clock.pass(10);
  }
  // At least half of a delay passes, so at least one second between two requests in the end.
  expect(askedAtMs.length).toBeLessThan(15);
  brings = true;
  clock.pass(2000);
  const before = askedAtMs.length;
  for (let count = 0; count < 3; count++) hints.request();
  expect(askedAtMs.length).toBe(before + 3);
});

test("numbers and ages of heads are such", () => {
  for (const wrong of [{ q: -1 }, { q: 1.5 }, { q: "1" }, { q: 2 ** 60 }, { a: -1 }, { a: "0" }])
    expect(decodeHead(JSON.stringify({ ...head({}), ...wrong }))).toHaveProperty("problem");
  for (const right of [{}, { q: 0 }, { q: 2 ** 50 }, { a: null }, { a: 12 }])
    expect(decodeHead(JSON.stringify({ ...head({}), ...right }))).toHaveProperty("message");
});
