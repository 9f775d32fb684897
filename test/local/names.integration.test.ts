/** Names of the generated SQL are never those of the application: on database servers. */
import { afterAll, describe, test } from "bun:test";
import { expectNoExtraColumns, expectSameAnswers } from "./application-names.ts";
import { installedDatabases, stopDatabases } from "./databases.ts";

afterAll(stopDatabases);

describe.each(installedDatabases())("%s", (_, open) => {
  test("names of the generated SQL as columns and tables of the application change no answer", async () => {
    const database = await open();
    await expectSameAnswers(database, 30);
    await database.close();
  }, 600_000);

  test("a column that a query has besides those of its signature captures nothing", async () => {
    const database = await open();
    await expectNoExtraColumns(database);
    await database.close();
  }, 60_000);
});
