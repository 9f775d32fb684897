/** Every case file on the oracle and on each engine. `CASE=name` runs the files whose path contains that name. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { join } from "node:path";
import { parseCase } from "./cases/case.ts";
import { compilePolicy } from "./cases/compile-policy.ts";
import { openEngine } from "./cases/engine-target.ts";
import { checkOracle, checkTarget, oracleOf } from "./cases/run.ts";

const folder = join(import.meta.dirname, "cases");
const wanted = process.env["CASE"] ?? "";
const files = [...new Glob("**/*.yaml").scanSync(folder)].filter((file) => file.includes(wanted)).sort();

for (const file of files) {
  describe(file, async () => {
    const asked = parseCase(await Bun.file(join(folder, file)).text());
    const policy = compilePolicy(asked.policy);
    const slow = oracleOf(policy, asked);
    test("oracle", () => expect(checkOracle(asked, slow, policy)).toEqual([]));
    for (const strategy of ["statement", "evaluator"] as const) {
      test(`engine, ${strategy}`, async () => {
        using engine = openEngine(asked, { strategy });
        expect(await checkTarget(asked, slow, policy, engine)).toEqual([]);
      });
    }
  });
}
