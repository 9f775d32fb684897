/** Nodes whose long timers fire when the test says so. */
import { type Clock, systemClock } from "../../src/util/clock.ts";
import { SystemWithClock, withCluster } from "../replication/cluster.ts";
import { type Api, apiOf } from "./api.ts";

/** A system whose timers of a minute or more wait for the test to advance its wall clock. */
class SystemWithLongTimers extends SystemWithClock {
  readonly #timers = new Map<() => void, number>();
  override readonly clock: Clock = {
    ...systemClock,
    wallMs: () => systemClock.wallMs() + this.aheadMs,
    after: (delayMs, body) => {
      if (delayMs < 60_000) return systemClock.after(delayMs, body);
      const call = (): void => body();
      this.#timers.set(call, this.clock.wallMs() + delayMs);
      return () => this.#timers.delete(call);
    },
  };

  advance(ms: number): void {
    this.aheadMs += ms;
    for (const [call, atMs] of this.#timers) {
      if (atMs > this.clock.wallMs()) continue;
      this.#timers.delete(call);
      call();
    }
  }
}

/** A primary with such timers. */
export async function withLongTimers(
  body: (api: Api, system: SystemWithLongTimers) => Promise<void>,
  flags: Readonly<Record<string, string>> = {},
): Promise<void> {
  const system = new SystemWithLongTimers();
  await withCluster(async (cluster) => body(apiOf(await cluster.primary({}, undefined, system)), system), flags);
}
