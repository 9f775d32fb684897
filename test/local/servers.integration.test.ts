/** Local authorization on PostgreSQL and MariaDB. The tests are those that run on SQLite, too. */
import { afterAll, test } from "bun:test";
import { chainTests } from "./chain-tests.ts";
import { clientTests } from "./client-tests.ts";
import { serverDatabases, stopDatabases } from "./databases.ts";
import { differentialTests, expectNoDifferences } from "./differential-tests.ts";
import { idTests } from "./id-tests.ts";
import { parameterTests } from "./parameter-tests.ts";

afterAll(stopDatabases);

test.each([
  ["many conditions on recursions", "groups-in-groups-folders-in-folders.yaml"],
  ["a recursion with many steps", "pages-in-folders-in-spaces.yaml"],
])("little memory is needed for %s", async (_, file) => {
  for (const [, open] of serverDatabases) {
    const database = await open();
    await expectNoDifferences(file, [2], database);
    await database.close();
  }
});

chainTests(serverDatabases);
clientTests(serverDatabases);
differentialTests(serverDatabases);
idTests(serverDatabases);
parameterTests(serverDatabases);
