/** How many columns a query selects, as far as its text says it. */
import { expect, test } from "bun:test";
import { selectedColumns } from "../../src/local/selected-columns.ts";

test.each([
  ["SELECT id FROM issues", 1],
  ["select id, repository_id from issues", 2],
  ["SELECT i.id AS x, f(a, (b), c) y, 'a,b' || \"c,d\", ARRAY[1, 2] FROM issues i, repositories r", 4],
  ["SELECT DISTINCT id, a FROM t", 2],
  ["SELECT DISTINCT ON (a, b) a, b, c FROM t ORDER BY a, b, c", 3],
  ["SELECT ALL a FROM t", 1],
  ["WITH x AS (SELECT 1, 2, 3), y(a, b) AS (SELECT * FROM x) SELECT a, b FROM y", 2],
  ["SELECT a, b UNION SELECT c, d", 2],
  ["SELECT a * 2, b*c FROM t", 2],
  ["SELECT count(*), 1 FROM t", 2],
  ["SELECT a -- , b\n, /* c, */ d FROM t", 2],
  ["SELECT 1", 1],
  ["SELECT (SELECT a FROM b) , $x$,$x$ FROM t", 2],
  ["SELECT CASE WHEN a THEN b ELSE c END, d::text, selected FROM t", 3],
  ["SELECT * FROM t", undefined],
  ["SELECT DISTINCT * FROM t", undefined],
  ["SELECT a, t.* FROM t", undefined],
  ["SELECT a, t . * FROM t", undefined],
  ["SELECT a, * FROM t", undefined],
  ["VALUES (1, 2)", undefined],
  ["(SELECT a FROM t) UNION SELECT b FROM c", undefined],
] as const)("%s: %p", (query, count) => {
  expect(selectedColumns(query, "postgres")).toBe(count as number);
});

test("comments and quotes are those of the dialect", () => {
  expect(selectedColumns("SELECT 'it\\'s, a', b FROM t", "mysql")).toBe(2);
  expect(selectedColumns("SELECT a # , b\n, c FROM t", "mysql")).toBe(2);
});
