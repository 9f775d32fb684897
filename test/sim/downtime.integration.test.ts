/** How long a cluster accepts no writes after a planned change, in simulated time: see `scripts/sim --downtime`. */
import { expect, test } from "bun:test";
import { treeSeed } from "../seeds.ts";
import { measureDowntime, plannedChanges } from "./downtime.ts";

test.each(plannedChanges)(
  "writes are accepted again in time: $name",
  async (change) => {
    for (const seed of [1, treeSeed]) {
      const { ms, leaseMs } = await measureDowntime(change, seed);
      expect({ seed, leaseMs, ms, isInTime: ms <= change.msMax(leaseMs) }).toMatchObject({ isInTime: true });
    }
  },
  60_000,
);
