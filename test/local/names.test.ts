/** Names of the generated SQL are never those of the application. */
import { expect, test } from "bun:test";
import { SqlNames, takenPrefixes } from "../../src/local/sql-names.ts";
import { expectSameAnswers } from "./application-names.ts";
import { sqliteDatabase } from "./databases.ts";

test("names of the generated SQL as columns and tables of the application change no answer", () =>
  expectSameAnswers(sqliteDatabase(), 40));

test.each([
  ["SELECT host_id, post_id, ost FROM posts", []],
  ["SELECT OST_0.c0", ["ost_"]],
  ["SELECT ost1_r0, x.ost12_c0", ["ost12_", "ost1_"]],
  ["SELECT `\u00f6st1_c0`", ["ost1_"]],
  ["SELECT `o\u00dft_c0`", ["ost_"]],
  ["SELECT \uff4fst_c0", ["ost_"]],
  [String.raw`SELECT U&"\006fst1_c0"`, ["ost1_"]],
  [String.raw`SELECT U&"!+00006fst_c0" UESCAPE '!'`, ["ost_"]],
  [String.raw`SELECT U&"x006fst_c0" UESCAPE 'x'`, ["ost_"]],
  [String.raw`SELECT U&"!006fst1234_c0" UESCAPE '!'`, ["ost1234_"]],
  [String.raw`SELECT U&"tt006fstt0031_c0" UESCAPE 't'`, []],
  [String.raw`SELECT U&"t006fstt0031_c0" UESCAPE $$t$$`, ["ost1_"]],
  ["SELECT /*!80000ost2_c0 */", ["ost2_"]],
  ["SELECT 1/*M!ost_c0*/", ["ost_"]],
  ["SELECT 1ost_c0", ["ost_"]],
])("%s takes the prefixes %j", (text, taken) => {
  expect([...takenPrefixes(text)].toSorted()).toEqual(taken);
});

test("the prefix is the first one that is free", () => {
  expect(new SqlNames(new Set()).column(0)).toBe("ost_c0");
  expect(new SqlNames(new Set(["ost_"]), new Set(["ost1_", "ost3_"])).alias()).toBe("ost2_0");
});
