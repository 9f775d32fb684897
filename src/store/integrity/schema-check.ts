/**
 * Checks that a file has exactly the schema objects of a store. SQLite runs what a schema says: a trigger in a backup
 * could turn every new API key into an admin key, a view could replace a table, a default could call a function.
 * Neither SQLite's integrity check nor the digest covers the schema. So a file of unknown origin is compared, before
 * anything is written to it, with an empty database that has the same migrations, fact tables and closure tables.
 */
import { SqliteDatabase } from "../../runtime/sqlite.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { closureTableSql } from "../facts/closure-tables.ts";
import { readFormat, runMigrations } from "../connection/database-format.ts";
import { factIndexSql, factTableSql, tableOf } from "../facts/fact-tables.ts";

type SchemaName = "main" | "source";

interface SchemaObject {
  readonly type: string;
  readonly name: string;
  readonly table: string;
  /** Empty for an index that SQLite creates for a constraint. */
  readonly sql: string;
}

/**
 * Throws an AppError `invalid_request` that names the first unexpected object in the file at `path`, or an error of
 * `readFormat`. Neither changes nor runs anything of the file.
 */
export function requireKnownSchemaIn(path: string): void {
  const database = new SqliteDatabase(path);
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

/**
 * The same for an open database, or for one that is attached to it as `source` from `path`, in the caller's
 * transaction. Returns its format.
 */
export function requireKnownSchema(database: SqliteDatabase, schema: SchemaName = "main", path?: string): number {
  const format = readFormat(database, schema, path);
  const found = objectsOf(database, schema);
  const fixed = fixedObjects(format);
  // The fixed tables are checked before they are read.
  for (const object of fixed.values()) requireEqual(object, found.get(keyOf(object)));
  const expected = new SqliteDatabase(":memory:");
  try {
    expected.transaction(() => {
      createFactTables(expected, database, schema, found);
      if (fixed.has("table closure"))
        for (const [id] of numbersIn(database, `SELECT id FROM ${schema}.closure`))
          expected.exec(closureTableSql(Number(id)));
    });
    const wanted = new Map([...fixed, ...objectsOf(expected, "main")]);
    for (const object of found.values())
      if (!wanted.has(keyOf(object)))
        throw schemaError(`it has the ${object.type} \`${object.name}\`, which Ostiary does not create`);
    for (const object of wanted.values()) requireEqual(object, found.get(keyOf(object)));
    return format;
  } finally {
    expected.close();
  }
}

const fixedByFormat = new Map<number, ReadonlyMap<string, SchemaObject>>();

/** The objects of a format without facts and closures. A node checks its database again and again. */
function fixedObjects(format: number): ReadonlyMap<string, SchemaObject> {
  const known = fixedByFormat.get(format);
  if (known !== undefined) return known;
  const empty = new SqliteDatabase(":memory:");
  try {
    runMigrations(empty, 0, format);
    const objects = objectsOf(empty, "main");
    fixedByFormat.set(format, objects);
    return objects;
  } finally {
    empty.close();
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

/** SQLite's own limit for the columns of a table. */
const columnsMax = 2000;

/** The policy decides which indexes a fact table has. Each must be over distinct columns of the table. */
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
        `the database has an impossible relation: number ${id} with ${arity} arguments`,
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

function numbersIn(database: SqliteDatabase, sql: string): number[][] {
  return database
    .prepare(sql)
    .values()
    .map((row) => row.map(Number));
}

function requireEqual(expected: SchemaObject, found: SchemaObject | undefined): void {
  if (found?.table === expected.table && found.sql === expected.sql) return;
  const name = `${expected.type} \`${expected.name}\``;
  throw schemaError(found === undefined ? `it lacks the ${name}` : `its ${name} is not the one that Ostiary creates`);
}

function schemaError(how: string): AppError {
  return new AppError(
    "invalid_request",
    `the schema of the database is not the one of Ostiary: ${printable(how)}. Another program has changed it, or it is damaged, so it is not used. Use a backup or a snapshot that a node has made, or undo the change if you made it`,
  );
}
