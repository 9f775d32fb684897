/**
 * SQL of MySQL 8 and MariaDB. Their collations equate case, accents and trailing blanks, `utf8mb4_bin` included, so ids
 * are compared as binary strings.
 */
import { must } from "../util/assert.ts";
import { booleanTexts, integerMax, integerMin, integerPattern } from "./column-values.ts";
import { type Dialect, isNone, plainCharacters } from "./dialect.ts";
import type { SqlType } from "./sql-types.ts";

/** A hexadecimal literal is a binary string, whatever `sql_mode` and the character set of the client are. */
function string(text: string): string | undefined {
  if (plainCharacters.test(text)) return `'${text}'`;
  return text.includes("\0") || !text.isWellFormed() ? undefined : hexadecimal(text);
}

function hexadecimal(text: string): string {
  return `X'${Buffer.from(text).toString("hex")}'`;
}

/** Literals, and columns of literals, have the character set utf8mb4 or binary. */
const exact = (expression: string): string => `CAST(${expression} AS BINARY)`;

/** A text that is an error of the database: the sum is out of range. The length keeps it from being computed before there is a row. */
const error = (column: string): string => `CAST(${integerMax} + (1 + OCTET_LENGTH(${column})) AS CHAR)`;

/**
 * Binary columns are taken as they are, because a conversion makes equal question marks of bytes that are no text. In a
 * mode in which CHAR columns have blanks that nobody wrote, nothing tells which blanks are a part of an id.
 */
const bytes = (column: string): string =>
  `IF(FIND_IN_SET('PAD_CHAR_TO_FULL_LENGTH', @@sql_mode), ${exact(error(column))}, IF(CHARSET(${column}) = 'binary', ${exact(column)}, ${exact(`CONVERT(${column} USING utf8mb4)`)}))`;

function id(expression: string, type: string, sqlType?: SqlType, isStrict = false): string {
  if (type !== "Boolean" && type !== "Integer")
    return sqlType?.form === "integer" ? exact(expression) : bytes(expression);
  const text = `CONVERT(${bytes(expression)} USING utf8mb4)`;
  const otherwise = isStrict ? ` WHEN ${expression} IS NOT NULL THEN ${error(expression)}` : "";
  if (type === "Boolean") {
    const means = (value: "true" | "false"): string =>
      `WHEN ${exact(`LOWER(${text})`)} IN (${booleanTexts[value].map(hexadecimal).join(", ")}) THEN '${value}'`;
    return exact(`CASE ${means("true")} ${means("false")}${otherwise} END`);
  }
  // `^` can be the begin of any line, as `default_regex_flags` says.
  const isNumber = `${text} REGEXP _utf8mb4 ${hexadecimal(`\\A${integerPattern}\\z`)}`;
  const value = `CAST(${text} AS DECIMAL(65, 0))`;
  const isInteger = `CASE WHEN ${isNumber} THEN ${value} BETWEEN ${integerMin} AND ${integerMax} ELSE FALSE END`;
  return exact(`CASE WHEN ${isInteger} THEN CAST(${number(text)} AS CHAR)${otherwise} END`);
}

/** Rows with longer ids are no facts, because a fact can't have them. */
const idBytesMax = 512;

const number = (text: string): string => `CAST(${text} AS SIGNED)`;

export const mysql: Dialect = {
  name: "mysql",
  hasLateral: false,
  // MariaDB does after `max_recursive_iterations`.
  cutsRecursion: true,
  sourcesMax: undefined,
  nestsLookups: false,
  // MariaDB caches the result of a correlated subquery by the outer columns, in their collation: it would take the result
  // for `a` as that for `A`. It does not cache a subquery with a random value.
  uncached: "RAND() >= 0",
  hasMixedCollations: false,
  string,
  // With a character set, the literal takes the collation of the column that it is compared with.
  typedValue: ({ form }, value) => (form === "integer" ? String(BigInt(value)) : `_utf8mb4 ${hexadecimal(value)}`),
  id,
  exact,
  // A column has the width of its first values, so all have the same one. Hexadecimal digits have no blanks to pad.
  stored: (expression) => `CAST(HEX(${expression}) AS CHAR(${2 * idBytesMax}) CHARACTER SET ascii)`,
  restored: (column) => `UNHEX(${column})`,
  shown: (text) => `CONVERT(${text} USING utf8mb4)`,
  quoted: (name) => `\`${name}\``,
  isValue(expression, sqlType, reserved) {
    const text = bytes(expression);
    if (sqlType?.form === "integer") return `${expression} IS NOT NULL`;
    return `COALESCE(OCTET_LENGTH(${text}) <= ${idBytesMax} AND ${isNone(text, reserved, string)}, FALSE)`;
  },
  // Texts and numbers are converted before they are compared.
  isExact: () => false,
  number,
  // Other texts become other numbers; the comparison of the ids decides.
  typed: (text, { form }) => (form === "integer" ? number(text) : `CONVERT(${text} USING utf8mb4)`),
  // MariaDB 11.8 needs two or three times the memory for each further selection that reads the table directly: 120 MB for a
  // recursion of ten steps, and more than 4 GB for 14. MySQL refuses a subquery in a recursion; for it, these are comments.
  recursion: (table, alias) => `/*M! (SELECT * FROM */ ${table} /*M! ) */ AS ${alias}`,
  query: (query, alias, columns) =>
    `(WITH ${alias}q(${columns.join(", ")}) AS (${query}\n) SELECT * FROM ${alias}q) AS ${alias}`,
  values(rows, alias, columns) {
    // A union of thousands of selections is slow.
    if (rows.length > selectsMax) {
      const typed = columns.map(
        (name, index) => `${name} VARCHAR(${idBytesMax}) CHARACTER SET utf8mb4 PATH '$[${index}]'`,
      );
      const json = `CONVERT(${hexadecimal(JSON.stringify(rows))} USING utf8mb4)`;
      return `JSON_TABLE(${json}, '$[*]' COLUMNS (${typed.join(", ")})) AS ${alias}`;
    }
    const row = (ids: readonly string[]): string =>
      `SELECT ${ids.map((id, index) => `${must(string(id))} AS ${must(columns[index])}`).join(", ")}`;
    return `(${rows.map(row).join(" UNION ALL ")}) AS ${alias}`;
  },
};

const selectsMax = 50;
