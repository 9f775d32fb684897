/** How a database writes values and sources. `postgres.ts`, `mysql.ts` and `sqlite.ts` implement it. */
import { must } from "../util/assert.ts";
import { booleanTexts, hasForms } from "./column-values.ts";
import type { DialectName } from "./dialect-names.ts";
import type { SqlType } from "./sql-types.ts";

export interface Dialect {
  readonly name: DialectName;
  /** Whether a subquery in FROM can read the tables before it (`LATERAL`). */
  readonly hasLateral: boolean;
  /** Whether a server of the dialect may end a recursion silently before it is complete. */
  readonly cutsRecursion: boolean;
  /**
   * The most sources of rows in a statement, if the database has a limit. Each reference to a table expression has the
   * sources of its definition again.
   */
  readonly sourcesMax: number | undefined;
  /**
   * Whether a condition looks its value up row by row, with EXISTS inside of EXISTS. MariaDB 11.8 finds wrong rows for that,
   * so there a condition compares its value with the set of all values.
   */
  readonly nestsLookups: boolean;
  /** A true condition for subqueries that read columns of the queries around them, if the database needs one. */
  readonly uncached: string | undefined;
  /** Whether columns with different collations can be compared; otherwise the database refuses that. */
  readonly hasMixedCollations: boolean;
  /**
   * A string, to compare with ids. Only letters, digits and a few signs are in it as they are: neither quotes,
   * backslashes and colons nor the marks of parameters, which some drivers replace even in strings. `undefined` if the
   * database can't hold the text.
   */
  string(text: string): string | undefined;
  /** A value of the SQL type, which must have it (`isValueOf`). */
  typedValue(type: SqlType, id: string): string;
  /**
   * The id of a value of the Polar type (`column-values.ts`), as text that is compared bytewise. NULL for NULL.
   * `sqlType` is the type of the column, if it is known. A column that has no value of the type is NULL as well, or an
   * error of the database if `isStrict`.
   */
  id(expression: string, type: string, sqlType?: SqlType, isStrict?: boolean): string;
  /** The same for a column that already holds ids as text. */
  exact(column: string): string;
  /** An id in a column of a recursive table expression, and the id that such a column holds. `NULL` stays as it is. */
  stored(id: string): string;
  restored(column: string): string;
  /**
   * Whether the expression has a value of a Polar type that is neither Integer nor Boolean: it is not NULL, and none of the
   * `reserved` ids. `sqlType` is the type of the column, if it is known.
   */
  isValue(expression: string, sqlType: SqlType | undefined, reserved: readonly ReservedId[]): string;
  /** The text of an id in the rows of an answer. */
  shown(id: string): string;
  /** The name of a column in the rows of an answer. */
  quoted(name: string): string;
  /**
   * Whether columns of the SQL type are equal only if their ids are equal. `isValue` then makes the database refuse columns
   * of another type.
   */
  isExact(type: SqlType): boolean;
  /** The number of an Integer's id. It raises no error for any text. */
  number(id: string): string;
  /** The value of the SQL type with this id (a text), or NULL if the type does not have it. It raises no error. */
  typed(id: string, type: SqlType): string;
  /** A recursive table expression as a source for FROM. */
  recursion(table: string, alias: string): string;
  /** The rows of a bound query, as a source for FROM. Names that begin with the alias are free. */
  query(query: string, alias: string, columns: readonly string[]): string;
  /** Rows of ids that the database can hold, at least one, as a source for FROM. Its columns are `exact` ids. */
  values(rows: readonly (readonly string[])[], alias: string, columns: readonly string[]): string;
}

/**
 * Ids that no fact can have. A question can be about `*`, which is an ordinary id that only a rule for every value
 * matches.
 */
export type ReservedId = "" | "*";
export const noFact: readonly ReservedId[] = ["", "*"];
export const noQuestion: readonly ReservedId[] = [""];

/** Characters that no SQL dialect, driver or template replaces inside of a string. */
export const plainCharacters = /^[A-Za-z0-9 _.,@/+=-]*$/;

/** Whether an id (SQL) is none of the reserved ones; NULL for NULL. `string` writes literals. */
export function isNone(id: string, reserved: readonly ReservedId[], string: Dialect["string"]): string {
  return `${id} NOT IN (${reserved.map((one) => must(string(one))).join(", ")})`;
}

/** Whether a column has a value of the Polar type. `id` is the `Dialect.id` of it. */
export function isValue(
  dialect: Dialect,
  column: { readonly expression: string; readonly type: string; readonly id: string },
  sqlType: SqlType | undefined,
  reserved: readonly ReservedId[],
): string {
  const { expression, type, id } = column;
  return hasForms(type) ? `${id} IS NOT NULL` : dialect.isValue(expression, sqlType, reserved);
}

/** The texts of a boolean that the database can hold, as SQL. */
export function booleanLiterals(value: "true" | "false", string: Dialect["string"]): string {
  return booleanTexts[value].flatMap((text) => string(text) ?? []).join(", ");
}
