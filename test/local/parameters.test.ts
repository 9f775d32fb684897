/** SQL with parameters, in SQLite. `servers.integration.test.ts` has the servers. */
import { embeddedDatabases } from "./databases.ts";
import { parameterTests } from "./parameter-tests.ts";

parameterTests(embeddedDatabases);
