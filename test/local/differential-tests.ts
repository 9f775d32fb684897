/**
 * Local authorization against the oracle, in real databases: random policies whose facts are split at random, and all
 * case files. `FUZZ_RUNS` sets the number of random policies and `FUZZ_SEED` the seed; `LOCAL_FULL=1` tries each case file
 * with each split of its facts, and without it a twelfth, which the tree chooses. A failure is printed as the parts of a case
 * file for `test/cases`, where it is tried from then on.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Value } from "../../src/store/facts/fact.ts";
import { parseCase, printFact } from "../cases/case.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { policySpec, writePolicy } from "../fuzz/policy.ts";
import { asked, asQuery, contextFacts, facts } from "../fuzz/questions.ts";
import { quota, randomTestMs, seededRuns, treeSeed } from "../seeds.ts";
import type { AppDatabase, NamedDatabase } from "./databases.ts";
import { localDifferences, type LocalSample, noLocalCounts, type Triples } from "./differential.ts";

const ids = ["1", "2", "3", "9"];
const of = (type: string, some: readonly string[]): Value[] => some.map((id) => ({ type, id }));
const triples: Triples = {
  actors: [...of("User", ["1", "2", "9"]), ...of("Bot", ["1"]), ...of("A", ["1"])],
  actions: ["p", "q", "zap"],
  resources: ["A", "B", "C", "User"].flatMap((type) => of(type, ids)),
};

const sample: fc.Arbitrary<LocalSample> = fc.record({
  policy: policySpec.map(writePolicy),
  // With many facts, more of what is asked depends on rows.
  facts: fc.tuple(facts, facts).map((lists) => lists.flat()),
  contextFacts,
  places: fc.array(fc.nat(4), { minLength: 7, maxLength: 7 }),
  queries: fc.array(asked, { minLength: 3, maxLength: 5 }).map((questions) => questions.map(asQuery)),
});

const isFull = process.env["LOCAL_FULL"] === "1";
const splits = [[2], [0, 2, 2], [2, 0, 1, 2, 0]] as const;

/** Defines the tests for each database. */
export function differentialTests(databases: readonly NamedDatabase[]): void {
  describe.each(databases)("%s", (_, open) => {
    test.each(seededRuns(20_261, 2))(
      "$runs random policies with seed $seed",
      async ({ seed, runs, isKnown }) => {
        const database = await open();
        const counts = noLocalCounts();
        const result = await fc.check(
          fc.asyncProperty(sample, async (one) => {
            expect(await localDifferences(one, triples, database, counts)).toEqual([]);
          }),
          { numRuns: runs, seed },
        );
        await database.close();
        console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts, null, 1));
        if (result.failed) {
          const [smallest] = result.counterexample ?? [];
          const text =
            smallest &&
            [
              `policy: |\n  ${smallest.policy.replaceAll("\n", "\n  ")}`,
              `facts:\n${smallest.facts.map((fact) => `  - ${printFact(fact)}`).join("\n")}`,
              `context:\n${smallest.contextFacts.map((fact) => `  - ${printFact(fact)}`).join("\n")}`,
              `# split ${smallest.places.join()}`,
            ].join("\n");
          throw new Error(`the SQL and the oracle differ: ${String(result.errorInstance)}\n\n${text}`);
        }
        expect(counts.triples).toBeGreaterThanOrEqual(quota(runs, 80, isKnown));
        expect(counts.dependent).toBeGreaterThanOrEqual(quota(runs, 5, isKnown));
      },
      randomTestMs,
    );

    const cases = [...new Bun.Glob("*.yaml").scanSync({ cwd: join(import.meta.dir, "..", "cases") })]
      .toSorted()
      .filter((_, index) => isFull || index % 12 === treeSeed % 12);

    test("case files", async () => {
      const database = await open();
      const counts = noLocalCounts();
      for (const [index, file] of cases.entries())
        for (const places of isFull ? splits : splits.slice(index % 3, (index % 3) + 1))
          await expectNoDifferences(file, places, database, counts);
      await database.close();
      console.log(`${cases.length} case files:`, JSON.stringify(counts, null, 1));
    }, 600_000);
  });
}

/** Expects what the oracle answers to the questions about a file of `test/cases`, whose facts are split at `places`. */
export async function expectNoDifferences(
  file: string,
  places: readonly number[],
  database: AppDatabase,
  counts = noLocalCounts(),
): Promise<void> {
  const one = parseCase(readFileSync(join(import.meta.dir, "..", "cases", file), "utf8"));
  const triplesOfCase = triplesOf(one.policy, [
    ...one.facts.flatMap(({ args }) => args),
    ...one.contextFacts.flatMap(({ args }) => args),
    ...[...one.allowed, ...one.denied].flatMap(({ actor, action, resource }) => [
      actor,
      { type: "String", id: action },
      resource,
    ]),
  ]);
  const differences = await localDifferences(
    { ...one, queries: one.questions.map(({ query }) => query), places },
    triplesOfCase,
    database,
    counts,
    { now: one.now },
  );
  expect([file, places, differences]).toEqual([file, places, []]);
}

/** Everything that can be asked about the values, with an unknown one of each type. */
function triplesOf(policy: string, values: readonly Value[]): Triples {
  const { types } = compilePolicy(policy);
  const distinct = [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
  const entities = distinct.filter(({ type, id }) => !["String", "Integer", "Boolean"].includes(type) && id !== "");
  const known = new Set([...types.keys(), ...entities.map(({ type }) => type)]);
  const unknown = [...known].map((type): Value => ({ type, id: "nobody-knows-this" }));
  const actors = [...entities, ...unknown].filter(({ type }) => types.get(type)?.kind === "actor");
  const actions = distinct.filter(({ type }) => type === "String").map(({ id }) => id);
  return {
    actors: actors.slice(0, 6),
    actions: [...new Set([...actions.slice(0, 8), "no-such-action"])],
    resources: [...entities.slice(0, 40), ...unknown],
  };
}
