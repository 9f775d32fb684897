/** Local authorization against the oracle, in SQLite. `servers.integration.test.ts` has the servers. */
import { embeddedDatabases } from "./databases.ts";
import { differentialTests } from "./differential-tests.ts";

differentialTests(embeddedDatabases);
