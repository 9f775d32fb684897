/** `ostiary bindings check` with the database servers that are installed. */
import { describe } from "bun:test";
import { hasMariaDb, postgresFolder, startMariaDb, startPostgres } from "../database-servers.ts";
import { testWithDatabase } from "./bindings-with-database.ts";

describe.skipIf(postgresFolder === undefined)("PostgreSQL (skipped without a server)", () =>
  testWithDatabase({
    name: "PostgreSQL",
    dialect: "postgres",
    types: ["bigint", "character varying", "boolean"],
    inexact: "numeric",
    open: startPostgres,
  }),
);

describe.skipIf(!hasMariaDb)("MariaDB (skipped without a server)", () =>
  testWithDatabase({
    name: "MariaDB",
    dialect: "mysql",
    types: ["bigint", "varchar", "tinyint"],
    inexact: "decimal",
    open: startMariaDb,
  }),
);
