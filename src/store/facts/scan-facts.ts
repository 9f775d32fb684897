/** Reads all stored facts in constant memory: page by page along the primary keys. */
import type { SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../connection/connection.ts";
import { must } from "../../util/assert.ts";
import type { Fact, Value } from "./fact.ts";
import { factTables } from "./fact-tables.ts";
import { typeIdOf } from "./symbols.ts";

const pageRows = 5000;

export function* scanFacts(database: Connection): Generator<Fact> {
  for (const { table, predicate, arity } of factTables(database))
    for (const page of scanRows(database, table, arity))
      for (const ids of page) yield { predicate, args: ids.map((id) => valueOf(database, id)) };
}

/** The rows of a fact table, as symbols, page by page. */
export function* scanRows(database: Connection, table: string, arity: number): Generator<readonly number[][]> {
  const columns = Array.from({ length: arity }, (_, index) => `a${index + 1}`);
  const slots = columns.map((_, index) => `?${index + 1}`).join(", ");
  const list = columns.join(", ");
  const select = database.prepare(
    `SELECT ${list} FROM ${table} WHERE (${list}) > (${slots}) ORDER BY ${list} LIMIT ${pageRows}`,
  );
  let last: SqlValue[] = columns.map(() => -1);
  for (;;) {
    const page = select.values(...last) as number[][];
    yield page;
    if (page.length < pageRows) break;
    last = must(page.at(-1));
  }
  select.finalize();
}

/** The value of a symbol that a fact has. */
function valueOf(database: Connection, id: number): Value {
  const [name] = must(database.statement("SELECT name FROM type WHERE id = ?1").values(typeIdOf(id))[0]);
  const [value] = must(database.statement("SELECT value FROM symbol WHERE id = ?1").values(id)[0]);
  return { type: String(name), id: String(value) };
}
