/** For how long deletions are observed: no clock and no restart makes the time shorter. */
import { expect, test } from "bun:test";
import { ObservedDeletions } from "../../src/environments/observed-deletions.ts";
import { withDirectory } from "../replication/cluster.ts";
import { SimulatedClock } from "../replication/simulated-clock.ts";

const span = 600_000;
const deleted = (id: string, deletedMs: number | undefined = 7) => ({ id, name: id, createdMs: 5, deletedMs });

test("only time of the running process counts, over restarts too, and for one deletion only", () =>
  withDirectory(async (directory) => {
    const clock = new SimulatedClock();
    const [shop, cart] = [deleted("shop"), deleted("cart")];
    let deletions = new ObservedDeletions(directory, clock);
    const observe = (entries: readonly ReturnType<typeof deleted>[]): void => deletions.observe(entries);
    /** The process looks twice a second, as a node does. */
    const run = (ms: number, ...entries: ReturnType<typeof deleted>[]): void => {
      const end = clock.every(500, () => observe(entries));
      clock.pass(ms);
      end();
    };
    observe([shop]);
    run(span, shop);
    expect(deletions.observedMs(shop)).toBe(span);
    expect([deletions.observedMs(cart), deletions.observedMs(deleted("shop", 8))]).toEqual([0, 0]);

    // The machine stands still, or somebody sets its clocks.
    clock.standStill(200 * span, { clock: "stopped" });
    observe([shop]);
    clock.standStill(200 * span, { clock: "running" });
    observe([shop]);
    expect(deletions.observedMs(shop)).toBe(span + 60_000);

    clock.standStill(span, { clock: "running" });
    deletions = new ObservedDeletions(directory, clock);
    observe([shop, cart]);
    expect(deletions.observedMs(shop)).toBe(span + 60_000);
    run(span, shop, cart);
    expect([deletions.observedMs(shop), deletions.observedMs(cart)]).toEqual([2 * span + 60_000, span]);

    // A deletion that was undone begins anew, also if the clock was set back to its time.
    observe([cart]);
    deletions = new ObservedDeletions(directory, clock);
    observe([shop, cart]);
    expect([deletions.observedMs(shop), deletions.observedMs(cart)]).toEqual([0, span]);
  }));
