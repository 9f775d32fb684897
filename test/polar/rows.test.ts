/**
 * `rows/*.yaml` have, for every statement about the language, policies that must work and policies that must fail. A
 * policy that works has tests, which the test runner, the engine and the oracle run. A policy that fails gets the named
 * diagnostic.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { defaultLimits } from "../../src/config/limits.ts";
import { resolveChanges } from "../../src/log/state/resolve.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { parseFact, printFact } from "../cases/case.ts";
import { policy as policyEvent, storeWith } from "../engine/store.ts";
import { judge } from "./agree.ts";
import { code, describeCode, limits, readEntries } from "./entries.ts";

const root = join(import.meta.dirname, "../..");

const fact = z.union([
  z.string().transform(parseFact),
  z.strictObject({
    predicate: z.string(),
    args: z.array(z.strictObject({ type: z.string(), id: z.string() })).readonly(),
  }),
]);

const failing = z.union([
  /** The code of an error, or `tests` for a policy that compiles and whose tests fail. */
  z.strictObject({ policy: z.string(), because: z.union([z.literal("tests"), code]), limits: limits.optional() }),
  /** The policy compiles with this warning. */
  z.strictObject({ policy: z.string(), warns: code }),
]);

const entry = z
  .strictObject({
    /** The section, and the statement. */
    row: z.string().regex(/^\d+(?:\.\d+)? \S/),
    holds: z.array(z.string()).min(1).optional(),
    fails: z.array(failing).min(1).optional(),
    /** The facts that a store with this policy accepts. */
    facts: z
      .strictObject({
        policy: z.string(),
        limits: limits.optional(),
        accepts: z.array(fact).min(1),
        refuses: z.array(z.strictObject({ fact, says: z.string() })).min(1),
      })
      .optional(),
    /** Files of `test/cases` that test the statement. */
    cases: z.array(z.string()).min(1).optional(),
    /** Other files that test it, with words to find there. */
    shown: z
      .array(z.strictObject({ file: z.string(), text: z.string() }))
      .min(1)
      .optional(),
  })
  .refine(
    ({ holds, fails, facts, cases, shown }) => (holds && fails) ?? facts ?? cases ?? shown,
    "a row needs a policy that works and one that fails, or facts, or other files",
  );

const files = readEntries(join(import.meta.dirname, "rows"), entry);

const sections = `2 3 4.1 4.2 4.3 4.4 4.5 4.6 4.7 5 5.1 5.2 6.1 6.2 6.3 6.4 7.1 7.2 8 9.1 9.2 9.3 10 11.1 11.2 11.3`;

test("every section has rows, and no row is repeated", () => {
  const rows = files.flatMap(([, entries]) => entries.map(({ row }) => row));
  expect([...new Set(rows.map((row) => row.split(" ")[0]))].sort()).toEqual(sections.split(" ").sort());
  expect(rows.filter((row, index) => rows.indexOf(row) !== index)).toEqual([]);
});

for (const [file, entries] of files) {
  describe(file, () => {
    for (const { row, holds = [], fails = [], facts, cases = [], shown = [] } of entries) {
      test(row, () => {
        holds.forEach(checkHolding);
        fails.forEach(checkFailing);
        if (facts) checkFacts(facts);
        for (const name of cases) expect(existsSync(join(root, "test/cases", name))).toBe(true);
        for (const place of shown) expect(readFileSync(join(root, place.file), "utf8")).toContain(place.text);
      });
    }
  });
}

function checkHolding(policy: string): void {
  const { diagnostics, failures, disagreements, assertions } = judge(policy);
  expect({ policy, errors: diagnostics.filter(({ severity }) => severity === "error") }).toEqual({
    policy,
    errors: [],
  });
  expect({ policy, failures, disagreements }).toEqual({ policy, failures: [], disagreements: [] });
  expect(assertions).toBeGreaterThan(0);
}

function checkFailing(expected: z.infer<typeof failing>): void {
  const { policy } = expected;
  const { diagnostics, failures, disagreements } = judge(
    policy,
    "limits" in expected ? { limits: expected.limits } : {},
  );
  const codes = new Set(diagnostics.map(describeCode));
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  expect({ policy, disagreements }).toEqual({ policy, disagreements: [] });
  if ("because" in expected && expected.because !== "tests") {
    expect({ policy, codes }).toEqual({ policy, codes: codes.union(new Set([expected.because])) });
    return;
  }
  expect({ policy, errors }).toEqual({ policy, errors: [] });
  if ("warns" in expected) {
    expect({ policy, codes }).toEqual({ policy, codes: codes.union(new Set([`${expected.warns} (warning)`])) });
  } else expect({ policy, failed: failures.length > 0 }).toEqual({ policy, failed: true });
}

function checkFacts({ policy, accepts, refuses, ...given }: NonNullable<z.infer<typeof entry>["facts"]>): void {
  const store = storeWith(policyEvent(policy));
  const low = { ...defaultLimits, ...given.limits };
  const insert = (facts: readonly Fact[]) => resolveChanges(store, [{ inserts: facts.map(copy) }], low).inserted;
  expect(insert(accepts).map(printFact)).toEqual([...new Set(accepts.map(printFact))]);
  for (const { fact: refused, says } of refuses) {
    expect(() => insert([refused]), printFact(refused)).toThrow(says);
  }
}

function copy({ predicate, args }: Fact): { predicate: string; args: { type: string; id: string }[] } {
  return { predicate, args: [...args] };
}
