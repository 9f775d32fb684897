/** Heads that announce events which do not arrive: how long the node waits, and that many heads make one check. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import type { Head } from "../../src/replication/transport/messages.ts";
import { GapCheck } from "../../src/replication/replica/primary-monitor.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { type Clock, systemClock } from "../../src/util/clock.ts";

function setUp() {
  const timers = new Set<() => void>();
  const at = { epoch: "e", offset: 3, isBusy: false, gaps: 0 };
  const present = (): StoreState => ({ epoch: at.epoch, offset: at.offset }) as StoreState;
  const clock: Clock = {
    ...systemClock,
    after(_delayMs, body) {
      timers.add(body);
      return () => timers.delete(body);
    },
  };
  const replica = { state: present, isBusy: () => at.isBusy, requestCatchUp: () => void at.gaps++ };
  const check = new GapCheck({ limits: defaultLimits, clock }, replica);
  const pass = (): void => {
    for (const body of [...timers]) {
      timers.delete(body);
      body();
    }
  };
  const receive = (l: number): void => check.schedule({ e: at.epoch, l } as Head, present());
  return { at, timers, check, pass, receive };
}

test("many heads at one position make one check, however long the node is busy", () => {
  const { at, timers, pass, receive } = setUp();
  at.isBusy = true;
  for (let head = 4; head < 300; head++) {
    receive(head);
    expect(timers.size).toBe(1);
    pass();
  }
  expect(at.gaps).toBe(0);
  at.isBusy = false;
  pass();
  expect([at.gaps, timers.size]).toEqual([1, 0]);
});

test("events that arrive in time are no gap, and the next head is checked again", () => {
  const { at, timers, check, pass, receive } = setUp();
  receive(4);
  at.offset = 4;
  receive(5);
  expect(timers.size).toBe(1);
  pass();
  expect(at.gaps).toBe(1);
  receive(6);
  check.stop();
  expect(timers.size).toBe(0);
});
