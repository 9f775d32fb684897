/** The official client's calls for local authorization, with SQLite. `servers.integration.test.ts` has the servers. */
import { embeddedDatabases } from "./databases.ts";
import { clientTests } from "./client-tests.ts";

clientTests(embeddedDatabases);
