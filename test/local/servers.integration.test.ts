/** Local authorization on PostgreSQL and MariaDB. The tests are those that run on SQLite, too. */
import { afterAll } from "bun:test";
import { chainTests } from "./chain-tests.ts";
import { clientTests } from "./client-tests.ts";
import { serverDatabases, stopDatabases } from "./databases.ts";
import { differentialTests } from "./differential-tests.ts";
import { idTests } from "./id-tests.ts";
import { parameterTests } from "./parameter-tests.ts";

afterAll(stopDatabases);

chainTests(serverDatabases);
clientTests(serverDatabases);
differentialTests(serverDatabases);
idTests(serverDatabases);
parameterTests(serverDatabases);
