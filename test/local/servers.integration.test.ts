/** Local authorization on PostgreSQL and MariaDB. The tests are those that run on SQLite, too. */
import { afterAll, test } from "bun:test";
import { chainTests } from "./chain-tests.ts";
import { clientTests } from "./client-tests.ts";
import { serverDatabases, stopDatabases } from "./databases.ts";
import { differentialTests, expectNoDifferences } from "./differential-tests.ts";
import { idTests } from "./id-tests.ts";
import { parameterTests } from "./parameter-tests.ts";

afterAll(stopDatabases);

test.each(serverDatabases)("%s needs little memory for many conditions on recursions", async (_, open) => {
  const database = await open();
  await expectNoDifferences("groups-in-groups-folders-in-folders.yaml", [2], database);
  await database.close();
});

chainTests(serverDatabases);
clientTests(serverDatabases);
differentialTests(serverDatabases);
idTests(serverDatabases);
parameterTests(serverDatabases);
