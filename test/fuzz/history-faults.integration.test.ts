/** Engines with a fault, which random histories must detect. The seeds stay, so nothing depends on chance. */
import { expect, test } from "bun:test";
import { emptyCounts } from "../histories/history-counts.ts";
import { randomTestMs } from "../seeds.ts";
import { faults } from "./history-faults.ts";
import { firstFailure } from "./search-histories.ts";

test.each(faults)(
  "that %s is detected",
  async (_, seed, open) => {
    const counts = emptyCounts();
    const found = await firstFailure(seed, 5000, counts, open, { endOnFailure: true });
    console.log(`found after ${counts.steps} steps: ${found?.problem.split("\n")[0]}`);
    expect(found).toBeDefined();
  },
  randomTestMs,
);
