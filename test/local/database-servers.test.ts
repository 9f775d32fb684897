/** The programs of PostgreSQL are found where they are; a machine without them skips the tests that need them. */
import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { postgresIn } from "../database-servers.ts";
import { withDirectory } from "../replication/cluster.ts";

test("PostgreSQL is looked for in the folders of its versions", () =>
  withDirectory((folder) => {
    const [versions, programs] = [join(folder, "postgresql"), join(folder, "postgresql", "15", "bin")];
    expect(postgresIn(versions)).toBeUndefined();
    mkdirSync(programs, { recursive: true });
    mkdirSync(join(versions, "17"));
    expect(postgresIn(versions)).toBe(programs);
    return Promise.resolve();
  }));
