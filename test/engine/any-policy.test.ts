/**
 * Random texts that are policies, or nearly: checking and testing them, explaining failures and counting coverage never
 * throws, and ends soon. The texts are those of all tests, randomly changed. `FUZZ_SEED` repeats a run, `FUZZ_RUNS`
 * makes it longer.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { policyReport } from "../../src/engine/validation/policy-report.ts";
import { renderDiagnostics } from "../../src/polar/render.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { policyTexts } from "../polar/texts.ts";

const limits = { ...defaultLimits, queryStepsMax: 20_000, explanationStepsMax: 2000, policyCheckTimeMsMax: 2000 };

const texts = policyTexts();
const words =
  'User Org Doc Repo "a" "b" "read" "member" 1 -2 true _ x u not and or if = != < in matches String Integer Actor Resource ; assert assert_not setup'.split(
    " ",
  );
const edit = fc.record({
  place: fc.nat(),
  length: fc.nat({ max: 2 }),
  words: fc.array(fc.constantFrom(...words), { maxLength: 2 }),
});
const assertion = fc.tuple(
  fc.constantFrom("assert", "assert_not"),
  fc.constantFrom("allow", "has_role", "has_permission", "f"),
);

/**
 * Replaces words by words, so that many results are still policies, and asserts and denies everything that can be
 * derived.
 */
function change(text: string, edits: readonly (typeof edit extends fc.Arbitrary<infer Edit> ? Edit : never)[]): string {
  const tokens = text.match(/"(?:\\.|[^"\\\n])*"|[\w:]+|\s+|./gsu) ?? [];
  for (const { place, length, words: inserted } of edits)
    tokens.splice(place % (tokens.length + 1), length, ...inserted);
  return tokens.join("");
}

test.each(seededRuns(20_261, 200))(
  "$runs changed policies with seed $seed",
  ({ seed, runs, isKnown }) => {
    let policies = 0;
    const changed = fc.tuple(
      fc.constantFrom(...texts),
      fc.array(edit, { maxLength: 3 }),
      fc.array(assertion, { maxLength: 3 }),
    );
    fc.assert(
      fc.property(changed, ([text, edits, assertions]) => {
        const added = assertions.map(([word, predicate]) => `${word} ${predicate}(a: Actor, b: String, c: Resource);`);
        const sources = [
          { name: "policy.polar", text: `${change(text, edits)}\ntest "added by the test" { ${added.join(" ")} }` },
        ];
        const checked = checkPolicy(sources, { runTests: true, coverage: true, limits });
        const report = policyReport(checked, sources, { runTests: true });
        if (checked.policy) policies += 1;
        expect(report.success).toBe(checked.policy !== undefined && report.errors?.length === 0);
        expect(checked.diagnostics.map(({ span }) => span.start)).toEqual(
          checked.diagnostics.map(({ span }) => span.start).toSorted((one, other) => one - other),
        );
        renderDiagnostics(
          [...checked.diagnostics, ...(checked.tests?.failures ?? []).map(({ diagnostic }) => diagnostic)],
          sources,
          { color: true },
        );
      }),
      { numRuns: runs, seed },
    );
    console.log(`seed ${seed}, ${runs} runs: ${policies} policies`);
    expect(policies).toBeGreaterThanOrEqual(quota(runs, 0.08, isKnown));
  },
  randomTestMs,
);
