/** Prepared statements kept per connection, by their text. Only for texts that come from a bounded set. */
import type { Connection, SqlStatement } from "../../runtime/sqlite.ts";

const kept = new WeakMap<Connection, Map<string, SqlStatement>>();

export function statement(database: Connection, sql: string): SqlStatement {
  let known = kept.get(database);
  if (!known) kept.set(database, (known = new Map()));
  let prepared = known.get(sql);
  if (!prepared) known.set(sql, (prepared = database.prepare(sql)));
  return prepared;
}
