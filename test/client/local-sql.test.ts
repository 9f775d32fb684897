/** How `localSql` splits an answer at its parameters. `local-sql.integration.test.ts` has the libraries that get it. */
import { describe, expect, test } from "bun:test";
import { localSql, type SqlTag } from "../../src/client/local-sql.ts";

describe("the marks of parameters", () => {
  const recording: SqlTag<readonly [readonly string[], readonly string[], unknown[]]> = (strings, ...values) => [
    [...strings],
    [...strings.raw],
    values,
  ];

  test.each([
    ["a = $1 AND b = $2", ["x", "y"], ["a = ", " AND b = ", ""], ["x", "y"]],
    ["a = $2 OR b = $1 OR c = $2", ["x", "y"], ["a = ", " OR b = ", " OR c = ", ""], ["y", "x", "y"]],
    [
      "a = '$1' AND \"$2\" = $1 AND $q$ $3 $q$ <> E'\\'$4'",
      ["x"],
      ["a = '$1' AND \"$2\" = ", " AND $q$ $3 $q$ <> E'\\'$4'"],
      ["x"],
    ],
    ["a ? 'b' AND c = $1", ["x"], ["a ? 'b' AND c = ", ""], ["x"]],
    ["a = '?' -- ?\n AND `?` = ? /* ? */", ["x"], ["a = '?' -- ?\n AND `?` = ", " /* ? */"], ["x"]],
    ["part$1 = ? AND t.größe$1 = b", ["x"], ["part$1 = ", " AND t.größe$1 = b"], ["x"]],
    ["a = ? AND b = ?", [null, 1], ["a = ", " AND b = ", ""], [null, 1]],
    ["a ? $1", [], ["a ? $1"], []],
  ])("%j", (sql, parameters, strings, values) => {
    expect(localSql(recording, { sql, parameters })).toEqual([strings, strings, values]);
  });

  test("an answer without parameters stays whole, and an empty one too", () => {
    expect(localSql(recording, "a = '?' AND b ? $1")).toEqual([["a = '?' AND b ? $1"], ["a = '?' AND b ? $1"], []]);
    expect(localSql(recording, { sql: "TRUE" })).toEqual([["TRUE"], ["TRUE"], []]);
  });

  test.each([
    ["a = $1", ["x", "y"], "marks for 1 parameters, and there are 2"],
    ["a = $1 AND b = $3", ["x", "y"], "marks for 2 parameters, and there are 2"],
    ["a = ?", ["x", "y"], "marks for 1 parameters, and there are 2"],
    ["a = '?'", ["x"], "marks for 0 parameters, and there are 1"],
    ["a = '\\' AND b = ? AND c = '?'", ["x"], "ambiguous"],
  ])("that do not fit are refused: %j", (sql, parameters, problem) => {
    expect(() => localSql(recording, { sql, parameters })).toThrow(problem);
  });
});
