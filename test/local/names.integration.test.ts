/** Names of the generated SQL are never those of the application: on database servers. */
import { afterAll, test } from "bun:test";
import { expectSameAnswers } from "./application-names.ts";
import { installedDatabases, stopDatabases } from "./databases.ts";

afterAll(stopDatabases);

test.each(installedDatabases())(
  "%s",
  async (_, open) => {
    const database = await open();
    await expectSameAnswers(database, 60);
    await database.close();
  },
  600_000,
);
