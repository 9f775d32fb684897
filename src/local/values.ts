/** Values in SQL, and the conditions that compare them. Ids are compared bytewise, whatever the collation is. */
import type { Comparison } from "../polar/policy.ts";
import { allOf, type SqlCondition } from "./condition.ts";
import type { Dialect } from "./dialect.ts";
import { isValueOf, type SqlType } from "./sql-types.ts";

export type LocalValue =
  | { readonly kind: "constant"; readonly type: string; readonly id: string }
  /**
   * `id` is the id as text. `column` is a column of the application, of the type that `sql_types` names. `isBytewise`: the
   * database itself takes no two ids of the source for equal.
   */
  | {
      readonly kind: "column";
      readonly type: string;
      readonly id: string;
      readonly column: string | undefined;
      readonly isBytewise?: boolean;
    }
  /** A value that no fact has. */
  | { readonly kind: "fresh"; readonly type: string | undefined };

export class Comparisons {
  readonly #dialect: Dialect;
  readonly #sqlTypes: ReadonlyMap<string, SqlType>;

  constructor(dialect: Dialect, sqlTypes: ReadonlyMap<string, SqlType>) {
    this.#dialect = dialect;
    this.#sqlTypes = sqlTypes;
  }

  /**
   * Equal ids of equal types. The comparison of the columns is there for indexes. That of the ids decides, unless columns
   * of the SQL type are equal only with equal ids.
   */
  equal(left: LocalValue, right: LocalValue): SqlCondition {
    if (left.kind === "fresh" || right.kind === "fresh") return false;
    if (left.type !== right.type) return false;
    if (left.kind === "constant") {
      if (right.kind === "constant") return left.id === right.id;
      return this.oneOf(right, [left.id]);
    }
    if (right.kind === "constant") return this.oneOf(left, [right.id]);
    if (left.id === right.id) return true;
    const sqlType = this.#sqlTypes.get(left.type);
    const isExact =
      sqlType && left.column !== undefined && right.column !== undefined && this.#dialect.isExact(sqlType);
    return allOf([this.#byColumns(left, right), isExact ? true : `${left.id} = ${right.id}`]);
  }

  /** Whether the value has one of the ids. */
  oneOf(value: LocalValue, ids: readonly string[]): SqlCondition {
    if (value.kind === "fresh") return false;
    if (value.kind === "constant") return ids.includes(value.id);
    const sqlType = value.column === undefined ? undefined : this.#sqlTypes.get(value.type);
    const possible = ids.flatMap((id) => {
      const string = this.#dialect.string(id);
      return string === undefined || (sqlType && !isValueOf(sqlType, id)) ? [] : [{ id, string }];
    });
    if (possible.length === 0) return false;
    const byId = isIn(
      value.id,
      possible.map(({ string }) => string),
    );
    if (!sqlType || value.column === undefined) return byId;
    const typed = possible.map(({ id }) => this.#dialect.typedValue(sqlType, id));
    return allOf([isIn(value.column, typed), this.#dialect.isExact(sqlType) ? true : byId]);
  }

  /** A comparison in the policy. Only Integers have an order. */
  compare(operator: Comparison, left: LocalValue, right: LocalValue): SqlCondition {
    if (operator === "!=") return this.#unequal(left, right);
    if (left.kind === "fresh" || right.kind === "fresh") return false;
    if (left.type !== "Integer" || right.type !== "Integer") return false;
    if (left.kind === "constant" && right.kind === "constant")
      return isOrdered(operator, BigInt(left.id), BigInt(right.id));
    return `${this.#number(left)} ${operator} ${this.#number(right)}`;
  }

  /** A string in SQL; undefined if the database can't hold it, so that no value of it is equal. */
  string(id: string): string | undefined {
    return this.#dialect.string(id);
  }

  #unequal(left: LocalValue, right: LocalValue): SqlCondition {
    if (left.kind === "fresh" || right.kind === "fresh" || left.type !== right.type) return true;
    if (left.kind === "constant" && right.kind === "constant") return left.id !== right.id;
    const [first, second] = [left, right].map((value) =>
      value.kind === "constant" ? this.#dialect.string(value.id) : value.id,
    );
    // The column comes first, because it has the collation.
    if (first === undefined || second === undefined) return true;
    return left.kind === "constant" ? `${second} <> ${first}` : `${first} <> ${second}`;
  }

  #byColumns(left: Column, right: Column): SqlCondition {
    const sqlType = this.#sqlTypes.get(left.type);
    if (sqlType === undefined || (left.column === undefined && right.column === undefined)) return true;
    const hasBoth = left.column !== undefined && right.column !== undefined;
    if (sqlType.form === "text" && !this.#dialect.hasMixedCollations && !hasBoth) return true;
    const typed = ({ column, id }: Column): string => column ?? `(${this.#dialect.typed(id, sqlType)})`;
    return `${typed(left)} = ${typed(right)}`;
  }

  #number(value: Exclude<LocalValue, { kind: "fresh" }>): string {
    return value.kind === "constant" ? String(BigInt(value.id)) : `(${this.#dialect.number(value.id)})`;
  }
}

type Column = Extract<LocalValue, { kind: "column" }>;

function isIn(expression: string, values: readonly string[]): string {
  return values.length === 1 ? `${expression} = ${values[0] ?? ""}` : `${expression} IN (${values.join(", ")})`;
}

function isOrdered(operator: Exclude<Comparison, "!=">, left: bigint, right: bigint): boolean {
  switch (operator) {
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
  }
}
