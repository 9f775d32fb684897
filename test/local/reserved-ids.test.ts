/** Rows with ids that no fact can have. */
import { test } from "bun:test";
import { sqliteDatabase } from "./databases.ts";
import { expectOrdinaryAnswers } from "./reserved-ids.ts";

test("rows with an empty id or the id * are no facts, and questions about these ids have the usual answers", () =>
  expectOrdinaryAnswers(sqliteDatabase()));
