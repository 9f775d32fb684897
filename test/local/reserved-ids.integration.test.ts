/** Rows with ids that no fact can have: on database servers. */
import { afterAll, test } from "bun:test";
import { installedDatabases, stopDatabases } from "./databases.ts";
import { expectOrdinaryAnswers } from "./reserved-ids.ts";

afterAll(stopDatabases);

test.each(installedDatabases())(
  "%s",
  async (_, open) => {
    const database = await open();
    await expectOrdinaryAnswers(database);
    await database.close();
  },
  600_000,
);
