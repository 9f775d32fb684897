/** How the SQL of local authorization finds the rows of a binding: for checks of indexes. */
import { must } from "../util/assert.ts";
import type { Binding, DataBindings } from "./bindings.ts";
import { hasForms } from "./column-values.ts";
import { conditionSql } from "./condition.ts";
import { dialectOf } from "./local-sql.ts";
import { SqlNames, takenPrefixes } from "./sql-names.ts";
import type { SqlType } from "./sql-types.ts";
import { Comparisons } from "./values.ts";

/** Selects the rows of the binding in which the column (counted from 0) has some value of its type. */
export function lookupSql(binding: Binding, column: number, bindings: DataBindings): string {
  const dialect = dialectOf(bindings);
  const types = binding.signature.args.flatMap(({ type, id }) => (id === null ? [type] : []));
  const sqlNames = new SqlNames(takenPrefixes(binding.query));
  const [names, type] = [types.map((_, index) => sqlNames.column(index)), must(types[column])];
  const alias = sqlNames.alias();
  const name = `${alias}.${must(names[column])}`;
  const sqlType = hasForms(type) ? undefined : bindings.sqlTypes.get(type);
  const value = { kind: "column", type, id: dialect.id(name, type), column: sqlType && name } as const;
  const condition = new Comparisons(dialect, bindings.sqlTypes).oneOf(value, [someValue(type, sqlType)]);
  return `SELECT 1 FROM ${dialect.query(binding.query, alias, names)} WHERE ${conditionSql(condition)}`;
}

function someValue(type: string, sqlType: SqlType | undefined): string {
  if (type === "Boolean") return "true";
  if (type === "Integer") return "1";
  switch (sqlType?.form) {
    case "integer":
      return "1";
    case "uuid":
      return "00000000-0000-4000-8000-000000000000";
    default:
      return "x";
  }
}
