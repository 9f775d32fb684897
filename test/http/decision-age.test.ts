/** The age of the decision log: a wall clock that is set wrong does not cost the log at once. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { DecisionStore } from "../../src/decisions/decision-store.ts";
import { DecisionWriter } from "../../src/decisions/decision-writer.ts";
import { Redaction } from "../../src/decisions/redaction.ts";
import { withDirectory } from "../replication/cluster.ts";
import { SimulatedClock } from "../replication/simulated-clock.ts";
import { decisionOf } from "./logged-decision.ts";

const minute = 60_000;
const day = 24 * 60 * minute;

test("a clock that was set removes nothing by age for ten minutes, and then a tenth at a time", () =>
  withDirectory(async (directory) => {
    const clock = new SimulatedClock();
    const path = join(directory, "decisions.db");
    const redaction = new Redaction({ omit: [], hash: [], hashKey: new Uint8Array(1) });
    const store = DecisionStore.open(path, redaction, () => {});
    const writer = new DecisionWriter(() => {}, clock);
    try {
      const decision = {
        ...decisionOf("key", "request", true, "{}"),
        timeMs: clock.wallMs(),
        isSelected: true,
        number: 0,
      };
      for (let batch = 0; batch < 20; batch++) store.append(Array<typeof decision>(256).fill(decision), 0);
      writer.open({
        ...{ path, bytesMax: 1e9, ageMs: 30 * day, reportsMax: 10, omit: [], hash: [], hashSecret: "s".repeat(16) },
        ...{ exportTo: undefined, clockSteadyMs: 10 * minute, trimIntervalMs: 10_000 },
      });
      const filter = {};
      const count = (): number => {
        const page = { limit: 10_000, bytesMax: 1e9, oldestMs: 0, order: "oldest" } as const;
        return store.read(filter, page).decisions.length;
      };
      clock.pass(60 * minute);
      clock.standStill(400 * day, { clock: "stopped" });
      clock.pass(9 * minute);
      expect(count()).toBe(20 * 256);
      clock.pass(2 * minute);
      expect(count()).toBe(18 * 256);
      clock.pass(7 * minute);
      expect(count()).toBe(18 * 256);
      clock.pass(4 * minute);
      expect(count()).toBe(16 * 256);
    } finally {
      writer.close();
      store.close();
    }
  }));
