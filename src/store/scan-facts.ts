/** All stored facts, one by one, in pages along the primary key: a million of them take no more memory than a thousand. */
import type { SqlDatabase, SqlValue } from "../runtime/sqlite.ts";
import type { Fact } from "./fact.ts";
import { factTables } from "./fact-tables.ts";

const pageRows = 5000;

export function* scanFacts(database: SqlDatabase): Generator<Fact> {
  for (const { table, predicate, arity } of factTables(database)) yield* scanTable(database, table, predicate, arity);
}

function* scanTable(database: SqlDatabase, table: string, predicate: string, arity: number): Generator<Fact> {
  const columns = Array.from({ length: arity }, (_, index) => `a${index + 1}`);
  const names = columns.map((_, index) => `y${index}.name, s${index}.value`).join(", ");
  const joins = columns
    .map(
      (column, index) =>
        `JOIN symbol s${index} ON s${index}.id = page.${column} JOIN type y${index} ON y${index}.id = s${index}.type`,
    )
    .join(" ");
  const slots = columns.map((_, index) => `?${index + 1}`).join(", ");
  const list = columns.join(", ");
  const page = `SELECT ${list} FROM ${table} WHERE (${list}) > (${slots}) ORDER BY ${list} LIMIT ${pageRows}`;
  const select = database.prepare(`SELECT ${list}, ${names} FROM (${page}) page ${joins} ORDER BY ${list}`);
  let last: SqlValue[] = columns.map(() => -1);
  for (;;) {
    const rows = select.values(...last);
    for (const row of rows) {
      const value = (index: number) => ({
        type: String(row[arity + index * 2]),
        id: String(row[arity + index * 2 + 1]),
      });
      yield { predicate, args: columns.map((_, index) => value(index)) };
    }
    if (rows.length < pageRows) break;
    last = rows.at(-1)?.slice(0, arity) ?? last;
  }
  select.finalize();
}
