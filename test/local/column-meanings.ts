/** What columns mean as values: the SQL of each dialect against `idOfText`, and what questions make of it. */
import { expect } from "bun:test";
import fc from "fast-check";
import { parseBindings } from "../../src/local/bindings.ts";
import { idOfText } from "../../src/local/column-values.ts";
import type { Dialect } from "../../src/local/dialect.ts";
import type { DialectName } from "../../src/local/dialect-names.ts";
import { mysql } from "../../src/local/mysql.ts";
import { postgres } from "../../src/local/postgres.ts";
import { sqlite } from "../../src/local/sqlite.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import type { AppDatabase } from "./databases.ts";
import { bindingLimits } from "./split.ts";

const dialects: Readonly<Record<DialectName, Dialect>> = { postgres, mysql, sqlite };

const policy = `
actor User {}
resource Doc { permissions = ["locked", "unlocked", "small", "other"]; }
declare is_locked(Doc, Boolean);
declare size(Doc, Integer);
has_permission(_: User, "locked", doc: Doc) if is_locked(doc, true);
has_permission(_: User, "unlocked", doc: Doc) if not is_locked(doc, true);
has_permission(_: User, "small", doc: Doc) if size(doc, 5);
has_permission(_: User, "other", doc: Doc) if not size(doc, 5);
`;

interface Column {
  /** SQL, without a comma. */
  readonly type: string;
  readonly literal: string;
  /** As `ostiary reconcile` reads the column; null for NULL. */
  readonly text: string | null;
}

const column = (type: string, literal: string, text: string | null): Column => ({ type, literal, text });
const texts = (type: string, ...values: string[]): Column[] => values.map((text) => column(type, `'${text}'`, text));
const written = texts(
  "varchar(90)",
  "t",
  "TRUE",
  "Yes",
  "y",
  "on",
  "1",
  "F",
  "no",
  "N",
  "0",
  "maybe",
  "2",
  "",
  " true",
  "true//",
  '"x" //',
);
const numbers = texts(
  "varchar(90)",
  ...["5", "05", "+5", "-0", "-5", "5.0", "5e0", " 5", "+", "5 //", "x\n5", `${"0".repeat(63)}5`, `${"0".repeat(64)}5`],
  ...["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"],
);
const nulls = [column("varchar(90)", "NULL", null)];

const columns: Readonly<Record<DialectName, readonly Column[]>> = {
  sqlite: [
    ...[...written, ...numbers, ...nulls].map((each) => ({ ...each, type: "" })),
    ...[
      column("", "1", "1"),
      column("", "0", "0"),
      column("", "2", "2"),
      column("", "5", "5"),
      column("", "5.0", "5.0"),
      column("", "CAST(X'350078' AS TEXT)", "5\0x"),
      column("", "CAST(X'310078' AS TEXT)", "1\0x"),
    ],
  ],
  postgres: [
    ...[...written, ...numbers, ...nulls],
    ...[column("boolean", "true", "true"), column("boolean", "false", "false"), column("boolean", "NULL", null)],
    ...[
      column("smallint", "1", "1"),
      column("smallint", "0", "0"),
      column("smallint", "2", "2"),
      column("bigint", "5", "5"),
    ],
    ...[
      column("bit(1)", "B'1'", "1"),
      column("bit(1)", "B'0'", "0"),
      column("numeric", "5", "5"),
      column("numeric", "5.0", "5.0"),
    ],
    ...[column("char(3)", "'t'", "t"), column("char(3)", "'5'", "5")],
  ],
  mysql: [
    ...[...written, ...numbers, ...nulls],
    ...[
      column("tinyint", "1", "1"),
      column("tinyint", "0", "0"),
      column("tinyint", "2", "2"),
      column("bigint", "5", "5"),
    ],
    ...[column("bit(1)", "b'1'", "\u0001"), column("bit(1)", "b'0'", "\0"), column("decimal(9, 0)", "5", "5")],
    ...[column("bigint unsigned", "9223372036854775808", "9223372036854775808"), column("char(3)", "'Y'", "Y")],
  ],
};

/** With `PAD_CHAR_TO_FULL_LENGTH` a ban of `d` in a CHAR column is one of `d  `, which would ban nobody. */
export async function expectNoPadding(database: AppDatabase): Promise<void> {
  using local = openFilledEngine({
    policy: `actor User {}
      resource Doc { permissions = ["read"]; }
      declare is_locked(Doc);
      has_permission(_: User, "read", doc: Doc) if not is_locked(doc);`,
    facts: [],
    now: 1,
  });
  const facts = { "is_locked(Doc:_)": { query: "SELECT a0 FROM locks" } };
  const bindings = parseBindings(JSON.stringify({ dialect: database.dialect, facts }), bindingLimits);
  const asked = { actor: { type: "User", id: "u" }, action: "read", contextFacts: [], bindings };
  const condition = local.engine.local.listSql({ ...asked, resourceType: "Doc", column: "a0" });
  await database.fill([
    { name: "docs", types: ["text"], rows: [["d"]] },
    { name: "locks", types: ["char(3)"], rows: [["d"]] },
  ]);
  const list = () => database.rows(`SELECT a0 FROM docs WHERE ${condition}`);
  expect(await list()).toEqual([]);
  await database.rows("SET SESSION sql_mode = CONCAT(@@sql_mode, ',PAD_CHAR_TO_FULL_LENGTH')");
  const answer: unknown = await list().catch((error: unknown) => error);
  expect(answer).toBeInstanceOf(Error);
}

/** A row with a value allows as the fact would; one without a value is no fact, and an error under a negation. */
export async function expectMeanings(database: AppDatabase): Promise<void> {
  const { dialect } = database;
  using local = openFilledEngine({ policy, facts: [], now: 1 });
  const bindings = parseBindings(
    JSON.stringify({
      dialect,
      facts: {
        "is_locked(Doc:_, Boolean:_)": { query: "SELECT a0, a1 FROM meanings" },
        "size(Doc:_, Integer:_)": { query: "SELECT a0, a1 FROM meanings" },
      },
    }),
    bindingLimits,
  );
  const asked = (action: string) => ({ actor: { type: "User", id: "u" }, action, contextFacts: [], bindings });
  const answer = async (action: string): Promise<boolean[] | "error"> => {
    const condition = local.engine.local.listSql({ ...asked(action), resourceType: "Doc", column: "a0" });
    const sql = local.engine.local.authorizeSql({ ...asked(action), resource: { type: "Doc", id: "d" } });
    try {
      const [listed, decided] = [
        await database.rows(`SELECT a0 FROM docs WHERE ${condition}`),
        await database.rows(sql),
      ];
      return [listed.length > 0, ["1", "t", "true"].includes(String(decided[0]?.[0]))];
    } catch {
      return "error";
    }
  };
  await database.fill([{ name: "docs", types: ["text"], rows: [["d"]] }]);
  for (const { type, literal, text } of columns[dialect]) {
    await database.rows(`CREATE TABLE meanings (a0 varchar(20), a1 ${type})`);
    await database.rows(`INSERT INTO meanings VALUES ('d', ${literal})`);
    for (const [valueType, id, positive, negative] of [
      ["Boolean", "true", "locked", "unlocked"],
      ["Integer", "5", "small", "other"],
    ] as const) {
      const means = text === null ? null : idOfText(valueType, text);
      const holds = means === id;
      expect({ type, literal, positive: await answer(positive), negative: await answer(negative) }).toEqual({
        ...{ type, literal, positive: [holds, holds] },
        negative: means === undefined ? "error" : [!holds, !holds],
      });
    }
    await database.rows("DROP TABLE meanings");
  }
}

const characters = fc.constantFrom(..."truefalsYNonoff0159+-. \t\n\u0001TRÉ\u017f\u212a٣*");
const anyText = fc.oneof(
  fc.array(characters, { maxLength: 6 }).map((list) => list.join("")),
  fc.constantFrom("true", "False", "YES", "no", "On", "off", "T", "f", "y", "N"),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
  fc
    .tuple(fc.constantFrom("", "+", "-"), fc.nat({ max: 70 }), fc.nat())
    .map(([sign, zeros, value]) => `${sign}${"0".repeat(zeros)}${value}`),
);

/** For random texts, the ids in the SQL are those of `idOfText`. */
export async function expectSameIds(database: AppDatabase, seed: number, count: number): Promise<void> {
  const dialect = dialects[database.dialect];
  const some = fc.sample(anyText, { numRuns: count, seed });
  await database.fill([{ name: "words", types: ["text"], rows: some.map((text) => [text]) }]);
  const found = await database.rows(
    `SELECT a0, ${dialect.shown(dialect.id("a0", "Boolean"))}, ${dialect.shown(dialect.id("a0", "Integer"))} FROM words`,
  );
  expect(found).toHaveLength(count);
  for (const [text, boolean, integer] of found) {
    const known = String(text);
    expect({ text, boolean, integer }).toEqual({
      text,
      boolean: idOfText("Boolean", known) ?? null,
      integer: idOfText("Integer", known) ?? null,
    });
  }
}
