/** Ids that databases confuse, in SQLite and as strings of all dialects. `servers.integration.test.ts` has the servers. */
import { describe, expect, test } from "bun:test";
import { mysql } from "../../src/local/mysql.ts";
import { postgres } from "../../src/local/postgres.ts";
import { sqlite } from "../../src/local/sqlite.ts";
import { embeddedDatabases } from "./databases.ts";
import { idTests, strange } from "./id-tests.ts";

idTests(embeddedDatabases);

describe("strings", () => {
  test("have no character that a database, a driver or a template reads as syntax", () => {
    for (const text of strange) {
      for (const { string } of [postgres, mysql, sqlite]) {
        const written = string(text) ?? "";
        expect(written.replace(/^[EX]?'|'$/g, "").replaceAll(/\\U[0-9a-f]{8}|char\([\d, ]+\)/g, "")).toMatch(
          /^[A-Za-z0-9 _.,@/+=-]*$/,
        );
      }
    }
  });

  test("that the database can't hold have no SQL", () => {
    for (const text of ["a\0b", "\ud800"])
      expect([postgres, mysql, sqlite].map(({ string }) => string(text))).toEqual([undefined, undefined, undefined]);
  });
});
