/** SQL of SQLite 3.34 or later. */
import { must } from "../util/assert.ts";
import { type Dialect, isNone, plainCharacters } from "./dialect.ts";

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

function id(expression: string, type: string): string {
  const text = `CAST(${expression} AS TEXT)`;
  // SQLite has no booleans: `true` is 1.
  if (type !== "Boolean") return exact(text);
  return exact(`(CASE ${text} WHEN '1' THEN 'true' WHEN '0' THEN 'false' ELSE ${text} END)`);
}

const number = (text: string): string => `CAST(${text} AS INTEGER)`;

export const sqlite: Dialect = {
  name: "sqlite",
  hasLateral: false,
  cutsRecursion: false,
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
  isValue(expression, type, _sqlType, reserved) {
    if (type === "Boolean") return `COALESCE(${id(expression, type)} IN ('true', 'false'), 0)`;
    // A text that is no integer in canonical form, or too large, is not the same after both casts.
    if (type === "Integer")
      return `COALESCE(CAST(${number(id(expression, type))} AS TEXT) = ${id(expression, type)}, 0)`;
    return `COALESCE(${isNone(id(expression, type), reserved, string)}, 0)`;
  },
  // Columns have values of any type.
  isExact: () => false,
  number,
  typed: (text, { form }) => (form === "integer" ? number(text) : text),
  query: (query, alias, columns) =>
    `(WITH ${alias}q(${columns.join(", ")}) AS (${query}\n) SELECT * FROM ${alias}q) AS ${alias}`,
  values: (rows, alias, columns) =>
    `(WITH ${alias}v(${columns.join(", ")}) AS (VALUES ${rows.map((row) => `(${row.map((id) => must(string(id))).join(", ")})`).join(", ")}) SELECT * FROM ${alias}v) AS ${alias}`,
};
