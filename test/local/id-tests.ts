/** Ids that databases confuse: other case, accents, blanks, quotes, forms of numbers, and ids that look like SQL. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseBindings } from "../../src/local/bindings.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { parseFact, printFact } from "../cases/case.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import type { NamedDatabase } from "./databases.ts";
import { localDifferences, noLocalCounts } from "./differential.ts";
import { bindingLimits } from "./split.ts";

const policy = `
actor User {}
resource Folder {
  roles = ["viewer"]; relations = { parent: Folder };
  "viewer" if "viewer" on "parent";
}
resource Doc {
  roles = ["viewer", "owner"]; permissions = ["read", "edit", "grow"]; relations = { parent: Folder };
  "viewer" if "owner";
  "viewer" if "viewer" on "parent";
  "read" if "viewer";
}
has_permission(u: User, "read", d: Doc) if is_public(d) and not is_banned(u);
has_permission(u: User, "edit", d: Doc) if has_role(u, "owner", d) and not is_locked(d);
has_permission(u: User, "edit", d: Doc) if is_special(d, true) and is_special(f, false) and f matches Folder and has_role(u, "viewer", f);
has_permission(u: User, "grow", d: Doc) if size(d, n) and quota(u, m) and n < m;
has_permission(u: User, "grow", d: Doc) if size(d, n) and n >= 9223372036854775807 and u != User{"a"} and is_public(d);
`;

export const strange = [
  ...["a", "A", "á", "a\u0301", "a ", " a", "ﬀ", "ß", "ss", "'", "''", "\\", "\\'", '"', "😀", "x'; DROP TABLE t0; --"],
  ...["1", "01", "1.0", "-1", "+1", "1e0", "$1", "?", ":a", "%s", "null", "NULL", "true", "`", "{x}", "a\nb", "/*"],
];
const equated = ["a", "A", "á", "a\u0301", "a ", "a\t"];
const numbers = ["1", "2", "9223372036854775807", "9223372036854775808", "01", "x", "-3", "99999999999999999999", "1 "];
const uuids = [
  ...["c0a80101-0000-4000-8000-000000000001", "C0A80101-0000-4000-8000-000000000001"],
  ...["c0a801010000400080000000000000ff", "c0a80101-0000-4000-8000-000000000002", "{c0a80101}"],
];

function factsOver(ids: Readonly<Record<"User" | "Folder" | "Doc", readonly string[]>>): fc.Arbitrary<Fact[]> {
  const value = (type: "User" | "Folder" | "Doc"): fc.Arbitrary<Value> =>
    fc.constantFrom(...ids[type]).map((id) => ({ type, id }));
  const text = (...words: string[]) => fc.constantFrom(...words).map((id): Value => ({ type: "String", id }));
  const integer = fc
    .constantFrom("0", "1", "-5", "10", "9223372036854775807", "-9223372036854775808")
    .map((id): Value => ({ type: "Integer", id }));
  const boolean = fc.constantFrom("true", "false").map((id): Value => ({ type: "Boolean", id }));
  const fact = (predicate: string, ...args: fc.Arbitrary<Value>[]): fc.Arbitrary<Fact> =>
    fc.tuple(...args).map((values) => ({ predicate, args: values }));
  const [user, folder, doc] = [value("User"), value("Folder"), value("Doc")];
  return fc.noBias(
    fc.array(
      fc.oneof(
        { weight: 4, arbitrary: fact("has_role", user, text("viewer"), folder) },
        { weight: 3, arbitrary: fact("has_role", user, text("viewer", "owner"), doc) },
        { weight: 4, arbitrary: fact("has_relation", folder, text("parent"), folder) },
        { weight: 4, arbitrary: fact("has_relation", doc, text("parent"), folder) },
        ...[fact("is_public", doc), fact("is_banned", user), fact("is_locked", doc)],
        ...[fact("is_special", doc, boolean), fact("is_special", folder, boolean)],
        ...[fact("size", doc, integer), fact("quota", user, integer)],
      ),
      { minLength: 5, maxLength: 40, size: "max" },
    ),
  );
}

/** The types of columns, which only PostgreSQL has: text is for others. */
const typings = (dialect: string) => [
  { name: "as text", sqlTypes: {}, ids: { User: strange, Folder: strange, Doc: strange } },
  {
    name: "as text columns",
    sqlTypes: { User: "text", Folder: "text", Doc: "text" },
    ids: { User: strange, Folder: strange, Doc: strange },
  },
  // Few ids, so that a question has facts of several of them.
  { name: "that collations equate", sqlTypes: {}, ids: { User: equated, Folder: equated, Doc: equated } },
  {
    name: "that collations equate, as text columns",
    sqlTypes: { User: "text", Folder: "text", Doc: "text" },
    ids: { User: equated, Folder: equated, Doc: equated },
  },
  {
    name: "with types",
    sqlTypes: { User: "text", Folder: "bigint", Doc: dialect === "PostgreSQL" ? "uuid" : "text" },
    ids: { User: strange, Folder: numbers, Doc: uuids },
  },
];

/** Defines the tests for each database. */
export function idTests(databases: readonly NamedDatabase[]): void {
  describe.each(databases)("%s", (name, open) => {
    test.each(seededRuns(20_262, 2).flatMap((one) => typings(name).map((typing) => ({ ...typing, ...one }))))(
      "$name: $runs runs with seed $seed",
      async ({ sqlTypes, ids, seed, runs, isKnown }) => {
        const database = await open();
        const counts = noLocalCounts();
        const triples = {
          actors: ids.User.slice(0, 14).map((id) => ({ type: "User", id })),
          actions: ["read", "edit", "grow"],
          resources: ids.Doc.map((id) => ({ type: "Doc", id })),
        };
        const sample = fc.record({
          facts: factsOver(ids),
          places: fc.array(fc.nat(4), { minLength: 7, maxLength: 7 }),
        });
        const result = await fc.check(
          fc.asyncProperty(sample, async (one) => {
            const whole = { policy, contextFacts: [], ...one };
            expect(await localDifferences(whole, triples, database, counts, { sqlTypes })).toEqual([]);
          }),
          { numRuns: runs, seed },
        );
        await database.close();
        console.log(`seed ${seed}, ${result.numRuns} runs:`, JSON.stringify(counts));
        if (result.failed) {
          const [smallest] = result.counterexample ?? [];
          const text = smallest && `${smallest.facts.map(printFact).join("\n")}\nplaces ${smallest.places.join()}`;
          throw new Error(`the SQL and the oracle differ: ${String(result.errorInstance)}\n\n${text}`);
        }
        expect(counts.refused).toEqual({});
        // More than half of what is asked depends on rows. The ids that fit the columns decide how much that is: few are UUIDs.
        expect(counts.dependent).toBeGreaterThanOrEqual(quota(runs, counts.triples / runs / 4, isKnown));
        expect(counts.allowed).toBeGreaterThanOrEqual(quota(runs, 2, isKnown));
      },
      randomTestMs,
    );

    if (name === "MariaDB")
      test("columns of bytes, and of another character set", async () => {
        const database = await open();
        const types = ["varbinary(20)", "varchar(20) CHARACTER SET latin1", "varchar(20) COLLATE utf8mb4_general_ci"];
        await database.fill(["docs", "locked"].map((name) => ({ name, types, rows: [] })));
        await database.rows("INSERT INTO docs VALUES (X'ff00aa', 'é', 'é'), (X'ff00ab', 'e', 'e'), ('x', 'É', 'É')");
        await database.rows("INSERT INTO locked VALUES (X'ff00aa', 'x', 'x')");
        using opened = openFilledEngine({ policy, facts: [parseFact("is_locked(Doc:é)")], now: 1 });
        const list = async (column: string) => {
          const facts = {
            "has_role(User:ann, owner, Doc:_)": { query: `SELECT ${column} FROM docs` },
            "is_locked(Doc:_)": { query: `SELECT ${column} FROM locked` },
          };
          const bindings = parseBindings(JSON.stringify({ dialect: "mysql", facts }), bindingLimits);
          const question = {
            actor: { type: "User", id: "ann" },
            action: "edit",
            resourceType: "Doc",
            contextFacts: [],
          };
          const sql = opened.engine.local.listSql({ ...question, column: `docs.${column}`, bindings });
          const rows = await database.rows(`SELECT HEX(docs.${column}) FROM docs WHERE ${sql}`);
          return rows.map((row) => row.join()).toSorted();
        };
        expect(await list("a0")).toEqual(["78", "FF00AB"]);
        expect(await list("a1")).toEqual(["65", "C9"]);
        expect(await list("a2")).toEqual(["65", "C389"]);
        await database.close();
      });
  });
}
