/** Every history on file, on all engines side by side. `CASE=name` runs the files whose path holds that name. */
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { join } from "node:path";
import { parseHistory, printHistory } from "./histories/history.ts";
import { replay } from "./histories/replay.ts";
import { emptyTally } from "./histories/tally.ts";

const folder = join(import.meta.dir, "histories", "cases");
const wanted = process.env["CASE"] ?? "";
const files = [...new Glob("**/*.yaml").scanSync(folder)].filter((file) => file.includes(wanted)).sort();

for (const file of files) {
  describe(file, async () => {
    const history = parseHistory(await Bun.file(join(folder, file)).text());
    test("all engines", async () => {
      const tally = emptyTally();
      const plans = history.steps.map((step) => () => [step]);
      expect((await replay(history.policies, plans, tally)).problems).toEqual([]);
      // None was too large for the oracle, or came before a policy.
      expect(tally.asks).toBe(history.steps.filter(({ kind }) => kind === "ask").length);
    });
    test("is what is printed of it", () => expect(parseHistory(printHistory(history))).toEqual(history));
  });
}
