/** Every history file, on all engines side by side. `CASE=name` runs the files whose path contains that name. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { join } from "node:path";
import { parseHistory, printHistory } from "./histories/history.ts";
import { replay } from "./histories/replay.ts";
import { emptyCounts } from "./histories/history-counts.ts";

const folder = join(import.meta.dirname, "histories", "cases");
const wanted = process.env["CASE"] ?? "";
const files = [...new Glob("**/*.yaml").scanSync(folder)].filter((file) => file.includes(wanted)).sort();

for (const file of files) {
  describe(file, async () => {
    const history = parseHistory(await Bun.file(join(folder, file)).text());
    test("all engines", async () => {
      const counts = emptyCounts();
      const plans = history.steps.map((step) => () => [step]);
      expect((await replay(history.policies, plans, counts)).problems).toEqual([]);
      // Every question was asked: the oracle's model was never too large, and there was always a policy.
      expect(counts.asks).toBe(history.steps.filter(({ kind }) => kind === "ask").length);
    });
    test("printing and parsing it gives the same history", () =>
      expect(parseHistory(printHistory(history))).toEqual(history));
  });
}
