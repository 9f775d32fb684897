/** What proves that a replica has all events, with a clock that the test controls. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { decodeHead, type Head } from "../../src/replication/transport/messages.ts";
import { Confirmations } from "../../src/replication/replica/confirmations.ts";
import { Freshness, proofTimeOf } from "../../src/replication/replica/freshness.ts";
import { CatchUpRequests } from "../../src/replication/replica/catch-up-requests.ts";
import { backoffMs } from "../../src/util/backoff.ts";
import { SimulatedClock } from "./simulated-clock.ts";

const epoch = "0123456789abcdef";
const later = "fedcba9876543210";

function head(change: Partial<Head>): Head {
  const standing = { v: 1, s: "test", e: epoch, n: 5, t: 0, l: 10, h: epoch, d: epoch, trim: 0 } as const;
  return { ...standing, from: [0, epoch], role: "primary", ack: false, ...change };
}

function newReplica(maxStalenessMs?: number) {
  const clock = new SimulatedClock();
  const freshness = new Freshness({ limits: defaultLimits, clock }, maxStalenessMs);
  const atPosition = (): void => void freshness.onPosition({ epoch, offset: 10 });
  return {
    clock,
    freshness,
    /** The primary answers with this head. */
    answer(change: Partial<Head>, probe = freshness.startProbe()) {
      freshness.onPrimaryHead(head(change), probe);
      freshness.expect({ head: head(change), atMs: proofTimeOf(head(change), probe), source: "primary" });
      atPosition();
    },
    /** A head arrives on the event stream. */
    receive(change: Partial<Head>) {
      const kind = freshness.classify(head(change), false);
      if (kind !== "newer") return kind;
      freshness.onHead(head(change));
      freshness.expect({ head: head(change), atMs: clock.monotonicMs(), source: "stream" });
      atPosition();
      return kind;
    },
  };
}

test("a head counts only after an answer of the primary, and with a greater number than all before", () => {
  const { freshness, clock, answer, receive } = newReplica();
  expect(receive({ q: 7 })).toBe("hint");
  expect(freshness.ageMs).toBeNull();
  answer({ q: 7 });
  expect(freshness.ageMs).toBe(0);
  clock.pass(1000);
  expect([receive({ q: 7 }), receive({ q: 6 }), receive({}), receive({ e: later, n: 6, q: 1 })]).toEqual([
    "same",
    "older",
    "hint",
    "hint",
  ]);
  expect(receive({ e: later, n: 4, q: 100 })).toBe("older");
  expect(freshness.classify(head({ q: 8 }), true)).toBe("hint");
  expect(freshness.ageMs).toBe(1000);
  expect(receive({ q: 8 })).toBe("newer");
  expect(freshness.ageMs).toBe(0);
  expect(receive({ q: 8 })).toBe("same");
  // An answer of the primary may name a number whose head is still on its way.
  answer({ q: 20 });
  expect([receive({ q: 19 }), receive({ q: 20 }), receive({ q: 21 })]).toEqual(["older", "same", "newer"]);
});

test("another epoch has its own numbers, and so has a primary with an old directory", () => {
  const { answer, receive, freshness } = newReplica();
  answer({ q: 100 });
  answer({ e: later, n: 6, q: 3 });
  expect(receive({ q: 101 })).toBe("older");
  answer({ q: 100 });
  const early = freshness.startProbe();
  expect(receive({ q: 102 })).toBe("newer");
  // The request was sent before that head.
  answer({ q: 101 }, early);
  expect(receive({ q: 102 })).toBe("same");
  answer({ q: 50 });
  expect(receive({ q: 51 })).toBe("newer");
});

test("without answers of the primary, heads are trusted for a window and one poll interval", () => {
  for (const [maxMs, windowMs, trustMs] of [
    [undefined, 6000, 8000],
    [30_000, 6000, 8000],
    [5000, 2500, 4500],
    [1000, 500, 1000],
  ] as const) {
    const { freshness, clock, answer, receive } = newReplica(maxMs);
    expect(freshness.windowMs).toBe(windowMs);
    answer({ q: 1 });
    for (let q = 2, atMs = 100; atMs <= trustMs; q++, atMs += 100) {
      clock.pass(100);
      receive({ q });
      expect(freshness.ageMs).toBe(0);
    }
    expect(freshness.isTrusted).toBe(true);
    clock.pass(100);
    receive({ q: 1000 });
    expect(freshness.ageMs).toBe(trustMs + 100);
    expect(freshness.isTrusted).toBe(false);
  }
});

test("a late answer counts from the time of its request", () => {
  const { freshness, clock, answer } = newReplica();
  const probe = freshness.startProbe();
  clock.pass(700);
  answer({ q: 1 }, probe);
  expect(freshness.ageMs).toBe(700);
  // An edge that answers instead of a primary is as old as it reports.
  answer({ role: "edge", a: 300 });
  expect(freshness.ageMs).toBe(300);
  clock.pass(1000);
  for (const unknown of [{ role: "edge" }, { role: "edge", a: null }, { a: null }] as const) answer(unknown);
  expect(freshness.ageMs).toBe(1300);
  answer({ q: 2 });
  expect(freshness.ageMs).toBe(0);
});

test("a head ahead of the replica counts from its own time, once the replica has reached it", () => {
  const { freshness, clock, answer, receive } = newReplica();
  answer({ q: 1 });
  clock.pass(1000);
  expect(receive({ q: 2, l: 12 })).toBe("newer");
  clock.pass(500);
  expect(freshness.ageMs).toBe(1500);
  freshness.onPosition({ epoch, offset: 11 });
  expect(freshness.ageMs).toBe(1500);
  freshness.onPosition({ epoch, offset: 12 });
  expect(freshness.ageMs).toBe(500);
});

test("the time since a head was superseded", () => {
  const { freshness, clock, answer, receive } = newReplica();
  answer({ q: 1 });
  for (let q = 2; q < 8; q++) {
    clock.pass(1000);
    receive({ q });
  }
  expect([6, 4, 1].map((q) => freshness.supersededMsAgo(head({ q })))).toEqual([0, 2000, 5000]);
});

test("the primary is asked within each window, but not if it was asked for another reason", () => {
  const clock = new SimulatedClock();
  let asked = 0;
  const ask = (): Promise<void> => (asked++, Promise.resolve());
  const confirmations = new Confirmations(clock, 4000, ask);
  confirmations.start();
  for (let poll = 0; poll < 10; poll++) {
    clock.pass(2000);
    confirmations.answered(clock.monotonicMs());
  }
  expect(asked).toBe(0);
  clock.pass(4000);
  expect(asked).toBe(1);
});

test("there is no request after a stop, even if an earlier answer arrives later", async () => {
  const clock = new SimulatedClock();
  let asked = 0;
  const confirmations = new Confirmations(clock, 4000, () => (asked++, Promise.resolve()));
  confirmations.start();
  await confirmations.stop();
  confirmations.answered(clock.monotonicMs());
  confirmations.request();
  clock.pass(60_000);
  expect(asked).toBe(0);
});

/** The random numbers with the shortest and the longest delays. */
test.each([0, 1])(
  "catch-ups for events that the primary does not have back off, with the random number %d",
  (random) => {
    const clock = new SimulatedClock(random);
    const limits = { ...defaultLimits, retryDelayMsMin: 50, retryDelayMsMax: 2000 };
    const startedAtMs: number[] = [];
    let hasNews = false;
    const start = (): void => {
      startedAtMs.push(clock.monotonicMs());
      requests.onAnswer(hasNews);
    };
    const requests = new CatchUpRequests({ limits, clock }, start);
    const endMs = 10_000;
    while (clock.monotonicMs() < endMs) {
      requests.request();
      clock.pass(10);
    }
    const delays = { minMs: limits.retryDelayMsMin, maxMs: limits.retryDelayMsMax };
    const expected: number[] = [];
    for (let atMs = 0; atMs <= endMs; atMs += backoffMs(expected.length, delays, random)) expected.push(atMs);
    expect(startedAtMs).toEqual(expected);
    hasNews = true;
    clock.pass(limits.retryDelayMsMax);
    const before = startedAtMs.length;
    for (let count = 0; count < 3; count++) requests.request();
    expect(startedAtMs.length).toBe(before + 3);
  },
);

test("numbers and ages of heads are validated", () => {
  for (const wrong of [{ q: -1 }, { q: 1.5 }, { q: "1" }, { q: 2 ** 60 }, { a: -1 }, { a: "0" }])
    expect(decodeHead(JSON.stringify({ ...head({}), ...wrong }))).toHaveProperty("problem");
  for (const right of [{}, { q: 0 }, { q: 2 ** 50 }, { a: null }, { a: 12 }])
    expect(decodeHead(JSON.stringify({ ...head({}), ...right }))).toHaveProperty("message");
});
