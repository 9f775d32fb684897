/** Open answers of a list beside the rows that can be listed: a wildcard row may include an open answer. */
import { listKey, stringKey } from "../../datalog/ir/key.ts";

/** Values by column. A column without a value is a wildcard, or an open value. */
type Row = readonly (string | number | null | undefined)[];

/** The first open answer that no row includes; `undefined` if there is none. */
export function findUncovered<Open extends { readonly row: Row }>(
  rows: readonly Row[],
  open: readonly Open[],
): Open | undefined {
  /** The wildcard rows, by the columns in which they have values. */
  const byColumns = new Map<string, { readonly columns: readonly number[]; readonly keys: Set<string> }>();
  for (const row of rows) {
    const columns = row.flatMap((_, column) => (hasValue(row, column) ? [column] : []));
    if (columns.length === row.length) continue;
    byColumns.getOrInsertComputed(columns.join(), () => ({ columns, keys: new Set() })).keys.add(keyOf(row, columns));
  }
  const patterns = [...byColumns.values()];
  return open.find(
    ({ row }) =>
      !patterns.some(
        ({ columns, keys }) => columns.every((column) => hasValue(row, column)) && keys.has(keyOf(row, columns)),
      ),
  );
}

function hasValue(row: Row, column: number): boolean {
  return row[column] !== null && row[column] !== undefined;
}

function keyOf(row: Row, columns: readonly number[]): string {
  return listKey(columns.map((column) => stringKey(String(row[column]))));
}
