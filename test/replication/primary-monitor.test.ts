/** When a replica asks its primary, and what it does with the answer, with a clock that the test controls. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { PrimaryMonitor } from "../../src/replication/replica/primary-monitor.ts";
import type { ReplicaInput } from "../../src/replication/replica/replica-state.ts";
import type { Peers } from "../../src/replication/transport/peers.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { SimulatedClock } from "./simulated-clock.ts";

const epoch = "0123456789abcdef";

/** A live replica at offset 10 of a primary whose position is `primaryAt.offset`, without an event stream. */
function newMonitor() {
  const clock = new SimulatedClock();
  const primaryAt = { offset: 10 };
  const asked: { readonly atMs: number; readonly waitMs: number }[] = [];
  const sent: ReplicaInput[] = [];
  const head = () => ({ v: 1, s: "test", e: epoch, n: 1, t: 0, l: primaryAt.offset, h: epoch, d: epoch, trim: 0 });
  const monitor = new PrimaryMonitor(
    { environment: "test", limits: defaultLimits, clock },
    {
      peers: {
        histories: { own: undefined },
        // A long poll: the answer comes with news, or after the time.
        async primaryHead(waitMs = 0) {
          asked.push({ atMs: clock.monotonicMs(), waitMs });
          if (primaryAt.offset === 10) await new Promise<void>((resolve) => void clock.after(waitMs, resolve));
          return { ...head(), from: [0, epoch], role: "primary", ack: false };
        },
      } as unknown as Peers,
      state: () => ({ epoch, offset: 10, hash: epoch, digest: epoch }) as unknown as StoreState,
      isLive: () => true,
      isBusy: () => false,
      whenIdle: async () => {},
      send: (input) => void sent.push(input),
      requestCatchUp: () => {},
    },
  );
  return { monitor, clock, primaryAt, asked, sent };
}

test("while the event stream is silent, a long poll waits at the primary, and its news are fetched at once", async () => {
  const { monitor, clock, primaryAt, asked, sent } = newMonitor();
  monitor.start();
  await clock.passSettled(10 * defaultLimits.pollIntervalMs);
  const polls = asked.filter(({ waitMs }) => waitMs > 0);
  // One poll follows the other.
  for (const [index, { atMs, waitMs }] of polls.slice(1).entries()) {
    const previous = polls[index];
    expect(atMs - (previous?.atMs ?? 0) - (previous?.waitMs ?? 0)).toBeLessThanOrEqual(defaultLimits.pollIntervalMs);
    expect(waitMs).toBeGreaterThan(0);
  }
  expect(polls.length).toBeGreaterThanOrEqual(5);
  expect(sent).not.toContainEqual({ type: "catchUpRequested", cause: "polled" });
  primaryAt.offset = 11;
  await clock.passSettled(2 * defaultLimits.pollIntervalMs);
  expect(sent).toContainEqual({ type: "catchUpRequested", cause: "polled" });
  const stopped = monitor.stop();
  await clock.passSettled(60_000);
  await stopped;
});
