/** An environment gets the id of a deleted one, before an edge has noticed the deletion. */
import { expect, test } from "bun:test";
import { adminKey, eventually, SystemWithClock, withCluster } from "../replication/cluster.ts";
import { currentEnvironment } from "../../src/telemetry/current-environment.ts";
import { systemClock } from "../../src/util/clock.ts";
import { ask, createEnvironment, fill, mayRead } from "./host.ts";

/** Its repeated timers can stand still. */
class SystemOfEdge extends SystemWithClock {
  /** Each timer that is not cancelled, with its environment. */
  readonly timers = new Map<object, string | undefined>();
  isPaused = false;
  override readonly clock = {
    ...new SystemWithClock().clock,
    every: (intervalMs: number, body: () => void): (() => void) => {
      const timer = {};
      this.timers.set(timer, currentEnvironment());
      const cancel = systemClock.every(intervalMs, () => this.isPaused || body());
      return () => {
        this.timers.delete(timer);
        cancel();
      };
    },
  };
}

test(
  "an edge ends its node of the earlier environment, and serves the later one",
  () =>
    withCluster(async (cluster) => {
      const system = new SystemWithClock();
      const ofEdge = new SystemOfEdge();
      const primary = await cluster.host("primary", "primary", { "advanced.environmentGrace": "1m" }, system);
      const first = await createEnvironment(primary, "shop");
      await fill(primary, first, "ann");
      const edge = await cluster.host("edge", "edge", { primary: primary.url }, ofEdge);
      await eventually(async () => expect(await mayRead(edge, first, "ann")).toBe(true));
      const earlier = [...ofEdge.timers].filter(([, environment]) => environment === "shop");
      expect(earlier.length).toBeGreaterThan(0);

      ofEdge.isPaused = true;
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/shop")).status).toBe(200);
      // The first comparison observes the deletion, and the second one that its time is over.
      for (const passedMs of [0, 120_000]) {
        system.passedMs = passedMs;
        expect((await ask(primary, adminKey, "POST", "/api/environments/complete")).status).toBe(200);
      }
      const second = await createEnvironment(primary, "shop", { name: "Later" });
      await fill(primary, second, "bob");
      await eventually(async () =>
        expect((await ask(edge, adminKey, "GET", "/api/environments")).text).toContain("Later"),
      );
      expect(await mayRead(edge, first, "ann")).toBe(true);

      ofEdge.isPaused = false;
      await eventually(async () => expect(await mayRead(edge, second, "bob")).toBe(true));
      expect(await mayRead(edge, first, "ann")).toBe(401);
      expect(earlier.filter(([timer]) => ofEdge.timers.has(timer))).toEqual([]);
    }),
  60_000,
);
