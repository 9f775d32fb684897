/** `ostiary bindings check` with database servers. */
import { describe } from "bun:test";
import { startMariaDb, startPostgres } from "../database-servers.ts";
import { testWithDatabase } from "./bindings-with-database.ts";

describe("PostgreSQL", () =>
  testWithDatabase({
    name: "PostgreSQL",
    dialect: "postgres",
    types: ["bigint", "character varying", "boolean"],
    inexact: "numeric",
    open: startPostgres,
  }));

describe("MariaDB", () =>
  testWithDatabase({
    name: "MariaDB",
    dialect: "mysql",
    types: ["bigint", "varchar", "tinyint"],
    inexact: "decimal",
    open: startMariaDb,
  }));
