/** SQL of PostgreSQL, whose server has the encoding UTF8. */
import { must } from "../util/assert.ts";
import { integerMax, integerMin, integerPattern } from "./column-values.ts";
import { booleanLiterals, type Dialect, isNone, plainCharacters } from "./dialect.ts";
import type { SqlType } from "./sql-types.ts";

/** `E'…'` means the same whatever `standard_conforming_strings` says. */
function string(text: string): string | undefined {
  if (plainCharacters.test(text)) return `'${text}'`;
  if (text.includes("\0") || !text.isWellFormed()) return undefined;
  const escaped = Array.from(text, (character) =>
    plainCharacters.test(character) ? character : `\\U${must(character.codePointAt(0)).toString(16).padStart(8, "0")}`,
  );
  return `E'${escaped.join("")}'`;
}

const wholeInteger = must(string(`^${integerPattern}$`));
const uuidPattern = must(string("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"));

const text = (expression: string): string => `CAST(${expression} AS text) COLLATE "C"`;

const exact = (expression: string): string =>
  expression.endsWith(' COLLATE "C"') ? expression : `${expression} COLLATE "C"`;

/** `numeric` has no overflow. CASE is the only guard: the planner may reorder the operands of AND. */
const number = (text: string): string => `CASE WHEN ${text} ~ ${wholeInteger} THEN CAST(${text} AS numeric) END`;

function isBetween(value: string, min: bigint, max: bigint): string {
  return `COALESCE(${value} BETWEEN ${min} AND ${max}, FALSE)`;
}

function id(expression: string, type: string, _sqlType?: SqlType, isStrict = false): string {
  const read = text(expression);
  // A text that is no number: the error of the cast has it.
  const error = `CAST(CAST(${read} || ' is no ${type}' AS integer) AS text)`;
  const otherwise = isStrict ? ` WHEN ${expression} IS NOT NULL THEN ${error}` : "";
  if (type === "Boolean") {
    const means = (value: "true" | "false"): string =>
      `WHEN lower(${read}) IN (${booleanLiterals(value, string)}) THEN '${value}'`;
    return exact(`(CASE ${means("true")} ${means("false")}${otherwise} END)`);
  }
  if (type !== "Integer") return read;
  const has64Bits = isBetween(number(read), integerMin, integerMax);
  return exact(`(CASE WHEN ${has64Bits} THEN CAST(${number(read)} AS text)${otherwise} END)`);
}

/** A call that the database refuses for columns of other types. It is never executed, so it costs no time. */
function typeCheck(column: string, { form }: SqlType): string | undefined {
  switch (form) {
    case "text":
      return undefined;
    case "uuid":
      return `pg_catalog.uuid_eq(${column}, ${column})`;
    case "integer":
      return `pg_catalog.int8eq(${column}, 0)`;
  }
}

export const postgres: Dialect = {
  name: "postgres",
  hasLateral: true,
  cutsRecursion: false,
  sourcesMax: undefined,
  nestsLookups: true,
  uncached: undefined,
  hasMixedCollations: true,
  string,
  typedValue: ({ name }, value) => `CAST(${must(string(value))} AS ${name})`,
  id,
  exact,
  stored: (expression) => (expression === "NULL" ? text("NULL") : exact(expression)),
  restored: exact,
  shown: (text) => text,
  quoted: (name) => `"${name}"`,
  isValue(expression, sqlType, reserved) {
    const refused = sqlType && typeCheck(expression, sqlType);
    if (refused === undefined) return `COALESCE(${isNone(text(expression), reserved, string)}, FALSE)`;
    return `${expression} IS NOT NULL AND NOT (FALSE AND ${refused})`;
  },
  // Equal texts may differ in case, if their collation is not deterministic.
  isExact: ({ form }) => form !== "text",
  number,
  typed(text, type: SqlType) {
    switch (type.form) {
      case "text":
        return text;
      case "uuid":
        return `CASE WHEN ${text} ~ ${uuidPattern} THEN CAST(${text} AS uuid) END`;
      case "integer":
        return `CASE WHEN ${isBetween(number(text), must(type.min), must(type.max))} THEN CAST(${text} AS ${type.name}) END`;
    }
  },
  recursion: (table, alias) => `${table} AS ${alias}`,
  query(query, alias, columns) {
    // A column without a name of ours would keep its own, and capture a column of the query around.
    const listed = columns.join(", ");
    return `(SELECT ${listed} FROM (${query}\n) AS ${alias}q(${listed})) AS ${alias}`;
  },
  values: (rows, alias, columns) =>
    `(VALUES ${rows.map((row) => `(${row.map((id) => must(string(id))).join(", ")})`).join(", ")}) AS ${alias}(${columns.join(", ")})`,
};
