/**
 * The SQL stands inside of a query of the application, and has its texts inside: a column, queries of bindings. Whatever
 * names these use, also those of the SQL itself, the answers must be the same.
 */
import { expect } from "bun:test";
import { parseBindings } from "../../src/local/bindings.ts";
import type { DialectName } from "../../src/local/dialect-names.ts";
import { must } from "../../src/util/assert.ts";
import { parseFact } from "../cases/case.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import type { AppDatabase } from "./databases.ts";
import { bindingLimits } from "./split.ts";

const policy = `
actor User {}
resource Doc {
  roles = ["reader", "owner"]; permissions = ["read", "see", "edit"]; relations = { parent: Doc };
  "read" if "owner";
  "reader" if "reader" on "parent";
  "edit" if "owner" and "reader";
}
has_permission(user: User, "see", doc: Doc) if has_role(user, "reader", doc) and not is_locked(doc);
declare is_locked(Doc);
`;
const facts = ["has_role(User:ann, owner, Doc:d3)"].map(parseFact);

/** Names in an application: two tables with columns, and the column that a list is about. */
interface Names {
  readonly roles: string;
  readonly docs: string;
  readonly column: string;
}

const plain: Names = { roles: "roles", docs: "docs", column: "doc" };
const engine = openFilledEngine({ policy, facts, now: 1 });

/** The quoted name, which means the same as the name without quotes. */
function quoted(name: string, dialect: DialectName): string {
  return dialect === "mysql" ? `\`${name}\`` : `"${name}"`;
}

function questions({ roles, docs, column }: Names, dialect: DialectName): { sql: string; condition: string }[] {
  const write = (name: string): string => quoted(name, dialect);
  const binding = (query: string) => ({ query });
  const bindings = parseBindings(
    JSON.stringify({
      dialect,
      facts: {
        "has_role(User:_, String:_, Doc:_)": binding(`SELECT a0, a1, ${write(column)} FROM ${write(roles)}`),
        "has_relation(Doc:_, parent, Doc:_)": binding(`SELECT ${write(column)}, a1 FROM ${write(docs)}`),
        "is_locked(Doc:_)": binding(`SELECT ${write(column)} FROM ${write(docs)} WHERE a2 = 'locked'`),
      },
    }),
    bindingLimits,
  );
  return ["read", "see", "edit"].map((action) => {
    const condition = engine.engine.local.listSql({
      actor: { type: "User", id: "ann" },
      ...{ action, resourceType: "Doc", column: write(column), bindings, contextFacts: [] },
    });
    return { condition, sql: `SELECT ${write(column)} FROM ${write(docs)} WHERE ${condition} ORDER BY 1` };
  });
}

/**
 * A query that selects more columns than its signature has, with the name of the column of the list. Databases refuse it
 * or ignore the rest; the list must not be about such a column.
 */
export async function expectNoExtraColumns(database: AppDatabase): Promise<void> {
  await database.fill([
    { name: "roles", types: ["text", "text", "text", "text"], columns: ["a0", "a1", "a2", "doc"], rows: extraRows },
    { name: "docs", types: ["text"], columns: ["doc"], rows: [["d1"], ["d2"], ["d3"]] },
  ]);
  for (const query of ["SELECT * FROM roles", "SELECT a0, a1, a2, doc FROM roles"]) {
    const facts = { "has_role(User:_, String:_, Doc:_)": { query } };
    const bindings = parseBindings(JSON.stringify({ dialect: database.dialect, facts }), bindingLimits);
    const actor = { type: "User", id: "ann" };
    const question = { actor, action: "read", resourceType: "Doc", column: "doc", bindings, contextFacts: [] };
    const condition = engine.engine.local.listSql(question);
    const found = await database.rows(`SELECT doc FROM docs WHERE ${condition} ORDER BY 1`).catch(() => "refused");
    expect({ query, found }).toEqual({ query, found: database.dialect === "postgres" ? [["d1"], ["d3"]] : "refused" });
  }
}

const extraRows = [
  ["ann", "owner", "d1", "d1"],
  ["bob", "owner", "d2", "d2"],
];

/** Uses up to `namesMax` names of the generated SQL as columns and tables of the application, and compares the answers. */
export async function expectSameAnswers(database: AppDatabase, namesMax: number): Promise<void> {
  const { dialect } = database;
  const answers = async (names: Names): Promise<string[][]> => {
    const types = ["text", "text", "text"];
    const role = [
      ["ann", "owner", "d1"],
      ["bob", "owner", "d2"],
      ["ann", "reader", "d1"],
      ["ann", "reader", "d5"],
    ];
    const doc = [
      ["d1", null, null],
      ["d2", "d1", null],
      ["d3", "d2", "locked"],
      ["d4", "d3", null],
      ["d5", null, "locked"],
      ["d6", null, null],
    ];
    const columnsOf = (at: number): readonly string[] =>
      types.map((_type, index) => (index === at ? quoted(names.column, dialect) : `a${index}`));
    await database.fill([
      { name: quoted(names.roles, dialect), types, columns: columnsOf(2), rows: role },
      { name: quoted(names.docs, dialect), types, columns: columnsOf(0), rows: doc },
    ]);
    return Promise.all(
      questions(names, dialect).map(async ({ sql }) => (await database.rows(sql)).map(([id]) => must(id))),
    );
  };
  const expected = [
    ["d1", "d3"],
    ["d1", "d2", "d4"],
    ["d1", "d3"],
  ];
  expect(await answers(plain)).toEqual(expected);

  const known = new Set<string>();
  const namesIn = (names: Names): readonly string[] =>
    questions(names, dialect).flatMap(({ condition }) => condition.match(/\b[a-z_][a-z0-9_]*\b/gi) ?? []);
  // SQLite needs a table before this name.
  const rowId = dialect === "sqlite" ? [] : ["rowid"];
  const waiting = [...namesIn(plain), "c0", "c1", "c2", "tag", "k0", ...rowId];
  for (const name of waiting) {
    if (known.size >= namesMax || known.has(name.toLowerCase()) || /^(?:a\d|roles|docs|doc)$/i.test(name)) continue;
    known.add(name.toLowerCase());
    const uses: Names[] = [
      { ...plain, column: name },
      { ...plain, roles: name },
      { ...plain, docs: name },
    ];
    for (const names of uses) {
      expect({ names, answers: await answers(names) }).toEqual({ names, answers: expected });
      waiting.push(...namesIn(names).filter((found) => found.startsWith("ost")));
    }
  }
  expect(known.size).toBeGreaterThan(20);
}
