/** How a database writes values and sources. `postgres.ts`, `mysql.ts` and `sqlite.ts` implement it. */
import { must } from "../util/assert.ts";
import type { DialectName } from "./dialect-names.ts";
import type { SqlType } from "./sql-types.ts";

export interface Dialect {
  readonly name: DialectName;
  /** Whether a subquery in FROM can read the tables before it (`LATERAL`). */
  readonly hasLateral: boolean;
  /** Whether a server of the dialect may end a recursion silently before it is complete. */
  readonly cutsRecursion: boolean;
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
   * The id of a value of the Polar type, as text that is compared bytewise. NULL for NULL. `sqlType` is the type of the
   * column, if it is known.
   */
  id(expression: string, type: string, sqlType?: SqlType): string;
  /** The same for a column that already holds ids as text. */
  exact(column: string): string;
  /** An id in a column of a recursive table expression, and the id that such a column holds. `NULL` stays as it is. */
  stored(id: string): string;
  restored(column: string): string;
  /**
   * Whether the expression has a value of the Polar type: it is not NULL, valid for an Integer or a Boolean, and none of
   * the `reserved` ids for another type. `sqlType` is the type of the column, if it is known.
   */
  isValue(expression: string, type: string, sqlType: SqlType | undefined, reserved: readonly ReservedId[]): string;
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
