/** Long chains of facts, in SQLite. `servers.integration.test.ts` has the servers. */
import { embeddedDatabases } from "./databases.ts";
import { chainTests } from "./chain-tests.ts";

chainTests(embeddedDatabases);
