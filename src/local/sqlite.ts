/** SQL of SQLite 3.34 or later. */
import { must } from "../util/assert.ts";
import { integerMax, integerMin } from "./column-values.ts";
import { booleanLiterals, type Dialect, isNone, plainCharacters } from "./dialect.ts";
import type { SqlType } from "./sql-types.ts";

/** SQLite's limit of arguments is 127 in old versions. */
const charactersPerCall = 100;

/** `char` makes text of code points, whatever the encoding of the database is. */
function string(text: string): string | undefined {
  if (plainCharacters.test(text)) return `'${text}'`;
  if (text.includes("\0") || !text.isWellFormed()) return undefined;
  const points = Array.from(text, (character) => must(character.codePointAt(0)));
  const calls: string[] = [];
  for (let start = 0; start < points.length; start += charactersPerCall)
    calls.push(`char(${points.slice(start, start + charactersPerCall).join(", ")})`);
  return calls.length === 1 ? must(calls[0]) : `(${calls.join(" || ")})`;
}

/** Without COLLATE, a cast has the collation of its column. */
const exact = (expression: string): string =>
  expression.endsWith(" COLLATE BINARY") ? expression : `${expression} COLLATE BINARY`;

function id(expression: string, type: string, _sqlType?: SqlType, isStrict = false): string {
  const text = `CAST(${expression} AS TEXT)`;
  // The number is out of range. The length keeps the database from computing it before there is a row. Functions with an
  // error of their own, such as `json`, are not in every build.
  const error = `abs(${integerMin + 1n} - 1 - 0 * length(${text}))`;
  const otherwise = isStrict ? ` WHEN ${expression} IS NOT NULL THEN ${error}` : "";
  if (type === "Boolean") {
    const means = (value: "true" | "false"): string =>
      `WHEN lower(${text}) IN (${booleanLiterals(value, string)}) THEN '${value}'`;
    return exact(`(CASE ${means("true")} ${means("false")}${otherwise} END)`);
  }
  if (type !== "Integer") return exact(text);
  return exact(`(CASE WHEN ${isInteger(expression, text)} THEN CAST(${number(text)} AS TEXT)${otherwise} END)`);
}

/** Whether the text matches `integerPattern` and has 64 bits: a cast takes a larger number for the largest one. */
function isInteger(expression: string, text: string): string {
  const digits = `substr(${text}, 1 + (substr(${text}, 1, 1) IN ('+', '-')))`;
  const significant = `ltrim(${digits}, '0')`;
  const largest = `CASE substr(${text}, 1, 1) WHEN '-' THEN '${-integerMin}' ELSE '${integerMax}' END`;
  const has64Bits = `(length(${significant}) < 19 OR (length(${significant}) = 19 AND ${significant} <= ${largest}))`;
  // The functions end a text at its first U+0000.
  const isWhole = `length(CAST(${text} AS BLOB)) = length(${text})`;
  const isNumber = `${isWhole} AND length(${digits}) BETWEEN 1 AND 64 AND ${digits} NOT GLOB ${must(string("*[^0-9]*"))}`;
  return `(typeof(${expression}) = 'integer' OR (${isNumber} AND ${has64Bits}))`;
}

const number = (text: string): string => `CAST(${text} AS INTEGER)`;

export const sqlite: Dialect = {
  name: "sqlite",
  hasLateral: false,
  cutsRecursion: false,
  // SQLite 3.54.1 reads no table expression after 1,000 sources: an error, which it also calls "no such table". The rest is
  // for the query around the condition.
  sourcesMax: 900,
  nestsLookups: true,
  uncached: undefined,
  hasMixedCollations: true,
  string,
  typedValue: ({ form }, value) => (form === "integer" ? String(BigInt(value)) : must(string(value))),
  id,
  exact,
  stored: (expression) => (expression === "NULL" ? id("NULL", "String") : exact(expression)),
  restored: exact,
  shown: (text) => text,
  quoted: (name) => `"${name}"`,
  isValue: (expression, _sqlType, reserved) => `COALESCE(${isNone(id(expression, "String"), reserved, string)}, 0)`,
  // Columns have values of any type.
  isExact: () => false,
  number,
  typed: (text, { form }) => (form === "integer" ? number(text) : text),
  recursion: (table, alias) => `${table} AS ${alias}`,
  query: (query, alias, columns) =>
    `(WITH ${alias}q(${columns.join(", ")}) AS (${query}\n) SELECT * FROM ${alias}q) AS ${alias}`,
  values: (rows, alias, columns) =>
    `(WITH ${alias}v(${columns.join(", ")}) AS (VALUES ${rows.map((row) => `(${row.map((id) => must(string(id))).join(", ")})`).join(", ")}) SELECT * FROM ${alias}v) AS ${alias}`,
};
