/**
 * The schema objects that a store of some format has, and the check that a file has these and no others. SQLite runs what a schema says: a trigger
 * in a backup could make an admin of each key that is written, a view could stand in place of a table, a default could call a function, and neither
 * the integrity check nor the digest looks at them. So a file from elsewhere is compared, before anything is written to it, with what the migrations
 * and the tables of its facts and closures come to in an empty database.
 */
import { openSqlite, type SqliteDatabase } from "../../runtime/sqlite.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { closureTableSql } from "../facts/closure-tables.ts";
import { newerFormatError, runMigrations, schemaVersion } from "../connection/open-store.ts";
import { factIndexSql, factTableSql, tableOf } from "../facts/fact-tables.ts";

type SchemaName = "main" | "source";

interface SchemaObject {
  readonly type: string;
  readonly name: string;
  readonly table: string;
  /** Empty of what SQLite makes by itself for a constraint. */
  readonly sql: string;
}

/** AppError `invalid_request` names the first object in the file at `path` that does not belong there. Nothing of the file is changed or run. */
export function requireKnownSchemaIn(path: string): void {
  const database = openSqlite(path);
  try {
    database.exec("PRAGMA busy_timeout = 5000");
    database.exec("PRAGMA trusted_schema = OFF");
    database.exec("PRAGMA cell_size_check = ON");
    database.exec("PRAGMA query_only = ON");
    database.transaction(() => requireKnownSchema(database));
  } finally {
    database.close();
  }
}

/** The same of an open database, or of one that is attached to it. Inside the caller's transaction. */
export function requireKnownSchema(database: SqliteDatabase, schema: SchemaName = "main"): void {
  const version = Number(database.prepare(`PRAGMA ${schema}.user_version`).values()[0]?.[0]);
  if (version > schemaVersion) throw newerFormatError(database.path, version);
  const found = objectsOf(database, schema);
  const expected = openSqlite(":memory:");
  try {
    expected.transaction(() => {
      runMigrations(expected, 0, version);
      // Only tables that are what they should be are read from.
      const fixed = objectsOf(expected, "main");
      for (const object of fixed.values()) requireEqual(object, found.get(keyOf(object)));
      createFactTables(expected, database, schema, found);
      if (fixed.has("table closure")) createClosureTables(expected, database, schema);
    });
    const wanted = objectsOf(expected, "main");
    for (const object of found.values()) if (!wanted.has(keyOf(object))) throw unknown(object);
    for (const object of wanted.values()) requireEqual(object, found.get(keyOf(object)));
  } finally {
    expected.close();
  }
}

function objectsOf(database: SqliteDatabase, schema: SchemaName): ReadonlyMap<string, SchemaObject> {
  const rows = database.prepare(`SELECT type, name, tbl_name, sql FROM ${schema}.sqlite_schema`).values();
  const objects = rows.map(([type, name, table, sql]): SchemaObject => ({
    type: String(type),
    name: String(name),
    table: String(table),
    sql: sql === null ? "" : String(sql).replaceAll(/\s+/g, " ").trim(),
  }));
  return new Map(objects.map((object) => [keyOf(object), object]));
}

function keyOf({ type, name }: Pick<SchemaObject, "type" | "name">): string {
  return `${type} ${name}`;
}

/** SQLite's own bound for the columns of a table. */
const columnsMax = 2000;

/** Which orders a table has indexes for is up to the policy; each has to be one of its columns, as they are. */
function createFactTables(
  expected: SqliteDatabase,
  database: SqliteDatabase,
  schema: SchemaName,
  found: ReadonlyMap<string, SchemaObject>,
): void {
  const arities = new Map<string, number>();
  for (const [id, arity] of numbersIn(database, `SELECT id, arity FROM ${schema}.relation`)) {
    if (id === undefined || arity === undefined || arity < 1 || arity > columnsMax)
      throw new AppError(
        "invalid_request",
        `the database has a relation that can't be: number ${id} with ${arity} arguments`,
      );
    expected.exec(factTableSql(id, arity));
    arities.set(tableOf(id), arity);
  }
  for (const { type, name, table } of found.values()) {
    const arity = arities.get(table);
    if (type !== "index" || arity === undefined || !name.startsWith(`${table}_by_`)) continue;
    const order = name.slice(`${table}_by_`.length).split("_").map(Number);
    const isOrder = new Set(order).size === order.length && order.every((column) => column >= 1 && column <= arity);
    if (isOrder) expected.exec(factIndexSql(table, order));
  }
}

function createClosureTables(expected: SqliteDatabase, database: SqliteDatabase, schema: SchemaName): void {
  for (const [id] of numbersIn(database, `SELECT id FROM ${schema}.closure`))
    expected.exec(closureTableSql(Number(id)));
}

function numbersIn(database: SqliteDatabase, sql: string): number[][] {
  return database
    .prepare(sql)
    .values()
    .map((row) => row.map(Number));
}

function requireEqual(expected: SchemaObject, found: SchemaObject | undefined): void {
  if (found?.table === expected.table && found.sql === expected.sql) return;
  const name = `${expected.type} \`${expected.name}\``;
  throw foreign(found === undefined ? `it lacks the ${name}` : `its ${name} is not the one that Ostiary makes`);
}

function unknown({ type, name }: SchemaObject): AppError {
  return foreign(`it has the ${type} \`${name}\`, which Ostiary does not make`);
}

function foreign(how: string): AppError {
  return new AppError(
    "invalid_request",
    `the database is not as Ostiary makes it: ${printable(how)}. It was changed by somebody else, or is damaged, and is not used; take a backup or a snapshot that a node has made, or undo the change if it is your own`,
  );
}
