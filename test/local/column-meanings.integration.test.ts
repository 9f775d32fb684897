/** What columns mean as values: on database servers. */
import { afterAll, describe, test } from "bun:test";
import { seedsOf } from "../seeds.ts";
import { expectMeanings, expectNoPadding, expectSameIds } from "./column-meanings.ts";
import { installedDatabases, stopDatabases } from "./databases.ts";

afterAll(stopDatabases);

describe.each(installedDatabases())("%s", (_, open) => {
  test("columns of each type, under a condition and under a negation", async () => {
    const database = await open();
    await expectMeanings(database);
    await database.close();
  }, 300_000);

  test("blanks that a mode of MySQL adds to columns are an error", async () => {
    const database = await open();
    if (database.dialect === "mysql") await expectNoPadding(database);
    await database.close();
  }, 60_000);

  test.each(seedsOf(20_281))(
    "random texts with seed %d",
    async (seed) => {
      const database = await open();
      await expectSameIds(database, seed, 2000);
      await database.close();
    },
    300_000,
  );
});
