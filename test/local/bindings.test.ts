/** Data bindings: what is read, and errors that name the place and the remedy. */
import { describe, expect, test } from "bun:test";
import { parseBindings } from "../../src/local/bindings.ts";
import { AppError } from "../../src/util/app-error.ts";
import { bindingLimits } from "./split.ts";

function parsed(text: string) {
  return parseBindings(text, bindingLimits);
}

test("bindings of Oso Cloud are read as they are", () => {
  const { dialect, bindings, sqlTypes } = parsed(`
facts:
  has_relation(Issue:_, parent, Repository:_):
    query: SELECT id, repository_id FROM issues
  has_role(User:_, String:_, Organization:_):
    query: |
      SELECT username, role::text, org FROM users;
  has_tag(Document:_, String:"a, b", Boolean:true, Integer:-3):
    query: SELECT id FROM documents
sql_types:
  Issue: uuid
  Repository: BIGINT
  Document: varchar(36)
`);
  expect(dialect).toBe("postgres");
  expect(bindings.map(({ predicate, types, query }) => ({ predicate, types, query }))).toEqual([
    {
      predicate: "has_relation/3",
      types: ["Issue", "String", "Repository"],
      query: "SELECT id, repository_id FROM issues",
    },
    {
      predicate: "has_role/3",
      types: ["User", "String", "Organization"],
      query: "SELECT username, role::text, org FROM users",
    },
    { predicate: "has_tag/4", types: ["Document", "String", "Boolean", "Integer"], query: "SELECT id FROM documents" },
  ]);
  expect(bindings[2]?.signature.args.map(({ id }) => id)).toEqual([null, "a, b", "true", "-3"]);
  expect([...sqlTypes].map(([type, { name }]) => `${type} ${name}`)).toEqual([
    "Issue uuid",
    "Repository bigint",
    "Document text",
  ]);
});

test("the dialect selects the names of types", () => {
  expect(parsed("dialect: sqlite\nfacts: {'p(A:_)': {query: SELECT 1}}\nsql_types: {A: INTEGER}").dialect).toBe(
    "sqlite",
  );
  expect(() => parsed("dialect: sqlite\nfacts: {'p(A:_)': {query: SELECT 1}}\nsql_types: {A: uuid}")).toThrow(
    '`sql_types.A` is `"uuid"`; with the dialect `sqlite` it must be one of `text`',
  );
});

describe("errors name the place and the remedy", () => {
  const one = (signature: string, query = "SELECT 1"): string =>
    `facts:\n  ? ${JSON.stringify(signature)}\n  : query: ${JSON.stringify(query)}\n`;

  test.each([
    ["", "they must be a group of `name: value` lines"],
    ["facts: {}", "`facts` is missing or empty"],
    ["fact: {}", "they must not have `fact`: did you mean `facts`?"],
    ["facts: [", "line 1, column 8: the bracket that opens here is not closed"],
    ["dialect: oracle\nfacts: {}", '`dialect` is `"oracle"`; it must be `postgres`, `mysql` or `sqlite`'],
    [one("has_role"), "`facts.has_role` is not a signature"],
    [one("has_role(User:_,)"), "is not a signature"],
    [one("has_role(User:_) x"), "is not a signature"],
    [one("has_role(User:a, member)"), "has no `_`, which takes a column"],
    [one("p(A:_, A:_, A:_, A:_, A:_, A:_)"), "has 6 arguments; facts hold 1 to 5"],
    [one("p(Actor:_)"), "argument 1 has the abstract type `Actor`: bind each concrete type"],
    [one("p(A:_, Boolean:yes)"), "argument 2 is no Boolean: write `Boolean:true`"],
    [one("p(A:_, Integer:007)"), "argument 2 is no Integer"],
    [one('p(A:_, "*")'), "argument 2 has the id `*`, which no fact has"],
    [one("p(A:_, Integer:9223372036854775808)"), "argument 2 is no Integer"],
    [one("p(A:_)", "UPDATE t SET a = 1"), "`query` must begin with SELECT, WITH or VALUES"],
    [one("p(A:_)", "SELECT 1; DROP TABLE t"), "`query` has more than one statement"],
    [one("p(A:_)", "SELECT 1) AS x, (SELECT 2"), "`query` closes a parenthesis that it does not open"],
    [one("p(A:_)", "SELECT (1"), "`query` opens a parenthesis that it does not close"],
    [one("p(A:_)", "SELECT 'a"), "`query` opens a quote that it does not close"],
    [one("p(A:_)", "SELECT $x$a"), "`query` opens a quote that it does not close"],
    [one("p(A:_)", "SELECT 1 /* a /* b */"), "`query` opens a comment that it does not close"],
    [one("p(A:_)", " ; "), "`query` is empty"],
    ["facts: {'p(A:_)': {}}", "needs `query`: a SELECT with 1 columns, one for each `_`"],
    ["facts: {'p(A:_)': {query: SELECT 1, db: x}}", "must not have `db`: known are query"],
    ["facts: {'p(A:_)': {query: SELECT 1}}\nsql_types: {A: float}", "Leave it out to compare ids as text"],
    ["facts: {'p(A:_)': {query: SELECT 1}}\nsql_types: {A: constructor}", "it must be one of `text`"],
  ])("%j", (text, message) => {
    expect(() => parsed(text)).toThrow(AppError);
    expect(() => parsed(text)).toThrow(message);
  });

  test("limits", () => {
    const many = Array.from({ length: 201 }, (_, index) => `  p${index}(A:_): {query: SELECT 1}`).join("\n");
    expect(() => parsed(`facts:\n${many}`)).toThrow("`facts` has more than 200 signatures");
    expect(() => parsed(`facts: {}\n# ${"x".repeat(100_000)}`)).toThrow("they have more than 100000 bytes");
  });
});

test.each([
  "SELECT ';' , '('",
  "SELECT 1 -- ;)\n",
  "SELECT $$;)$$, $tag$ ' $tag$",
  "SELECT E'\\');'",
  'SELECT "a;b" FROM "(x"',
  "(SELECT 1) UNION (SELECT 2) ;;",
  "WITH x AS (SELECT 1) SELECT * FROM x",
])("the query %j is accepted", (query) => {
  const { bindings } = parsed(JSON.stringify({ facts: { "p(A:_)": { query } } }));
  expect(bindings[0]?.query).toBe(query.trim().replace(/[;\s]+$/, ""));
});

test.each(["CHAR(36)", "NUMERIC(10, 2)", "numeric", "citext", "DECIMAL(9)", "character(3)"])(
  "ids of the SQL type %s are compared as texts",
  (type) => {
    const text = `facts: {'p(A:_)': {query: SELECT 1}}\nsql_types: {A: "${type}"}`;
    expect(parsed(text).sqlTypes.size).toBe(0);
  },
);
