/** What columns mean as values. */
import { expect, test } from "bun:test";
import { idOfText } from "../../src/local/column-values.ts";
import { sqlite } from "../../src/local/sqlite.ts";
import { seedsOf } from "../seeds.ts";
import { expectMeanings, expectSameIds } from "./column-meanings.ts";
import { sqliteDatabase } from "./databases.ts";

test.each([
  ["Boolean", "T", "true"],
  ["Boolean", "YES", "true"],
  ["Boolean", "off", "false"],
  ["Boolean", "\u0001", "true"],
  ["Boolean", "2", undefined],
  ["Boolean", "", undefined],
  ["Integer", "05", "5"],
  ["Integer", "+5", "5"],
  ["Integer", "-0", "0"],
  ["Integer", "-9223372036854775808", "-9223372036854775808"],
  ["Integer", "9223372036854775808", undefined],
  ["Integer", "5\n", undefined],
  ["User", "", undefined],
  ["User", "*", undefined],
  ["User", "05", "05"],
])("%s %j is %p", (type, text, id) => expect(idOfText(type, text)).toBe(id as string));

test("the SQL for SQLite needs no function that a build may lack", () => {
  for (const type of ["Boolean", "Integer"]) {
    const functions = sqlite.id("a", type, undefined, true).match(/\b[a-z]+(?=\()/g);
    const everywhere = ["abs", "length", "lower", "ltrim", "substr", "typeof", "char"];
    expect([...new Set(functions)].filter((name) => !everywhere.includes(name))).toEqual([]);
  }
});

test("columns of each type, under a condition and under a negation", () => expectMeanings(sqliteDatabase()));

test.each(seedsOf(20_281))("random texts with seed %d", (seed) => expectSameIds(sqliteDatabase(), seed, 500));
