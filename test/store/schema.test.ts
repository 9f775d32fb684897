/**
 * The fixed tables: `schema.ts` and the migrations agree, and no migration changes the schema that release 0.1.0 made.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getTableConfig, SQLiteTable } from "drizzle-orm/sqlite-core";
import { declaredSchema, migratedSchema, migrationBetween, migrationNames } from "../../scripts/migration.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { schemaVersion } from "../../src/store/connection/database-format.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import * as schema from "../../src/store/connection/schema.ts";
import { withDirectory } from "../replication/cluster.ts";

const tables = Object.values(schema).filter((value) => value instanceof SQLiteTable);
const format5 = join(import.meta.dirname, "../data-directories/format-5/primary/store-1.db.zst");

interface TableShape {
  readonly columns: readonly (readonly [name: string, type: string, isNotNull: boolean, value: string | null])[];
  readonly primaryKey: readonly string[];
  /** The columns of each unique constraint. */
  readonly uniques: readonly string[];
  /** The columns of each index, by name. */
  readonly indexes: readonly string[];
}

function declaredShape(table: SQLiteTable): TableShape {
  const { columns, primaryKeys, uniqueConstraints, indexes } = getTableConfig(table);
  const uniques = [
    ...columns.flatMap(({ name, isUnique }) => (isUnique ? [name] : [])),
    ...uniqueConstraints.map((constraint) => constraint.columns.map(({ name }) => name).join()),
  ];
  const keys = primaryKeys.flatMap((key) => key.columns.map(({ name }) => name));
  return {
    columns: columns.map((column) => [
      column.name,
      column.getSQLType().toUpperCase(),
      // Columns of a primary key are never null here, whether SQLite lists them as NOT NULL or not.
      column.notNull && !column.primary && !keys.includes(column.name),
      column.default === undefined ? null : String(column.default),
    ]),
    primaryKey: keys.length > 0 ? keys : columns.filter(({ primary }) => primary).map(({ name }) => name),
    uniques: uniques.toSorted(),
    indexes: indexes
      .map(
        ({ config }) =>
          `${config.name}: ${config.columns.map((column) => ("name" in column ? column.name : "?")).join()}`,
      )
      .toSorted(),
  };
}

function migratedShape(store: Connection, table: string): TableShape {
  const columns = store
    .prepare('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?1)')
    .values(table);
  const indexes = store.prepare('SELECT name, origin, "unique" FROM pragma_index_list(?1)').values(table);
  const columnsOf = (index: unknown): string =>
    store.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno").values(String(index)).join();
  return {
    columns: columns.map(([name, type, isNotNull, value, pk]) => [
      String(name),
      String(type),
      isNotNull === 1 && pk === 0,
      value === null ? null : String(value),
    ]),
    primaryKey: columns
      .filter(([, , , , pk]) => Number(pk) > 0)
      .toSorted((left, right) => Number(left[4]) - Number(right[4]))
      .map(([name]) => String(name)),
    // Drizzle makes an index of a unique constraint.
    uniques: indexes
      .flatMap(([name, origin, unique]) => (unique === 1 && origin !== "pk" ? [columnsOf(name)] : []))
      .toSorted(),
    indexes: indexes
      .flatMap(([name, , unique]) => (unique === 0 ? [`${String(name)}: ${columnsOf(name)}`] : []))
      .toSorted(),
  };
}

/** The text of each fixed table and index, as the file has it. */
function schemaTexts(store: Connection): Map<string, string> {
  const rows = store
    .prepare(
      "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND NOT (name GLOB 'fact_*' OR name GLOB 'closure_*')",
    )
    .values();
  return new Map(rows.map(([name, sql]) => [String(name), String(sql)]));
}

describe("schema.ts and the migrations", () => {
  test("agree: drizzle-kit finds nothing to migrate", async () => {
    expect(await migrationBetween(migratedSchema(), await declaredSchema())).toEqual([]);
  });

  test("a change of schema.ts needs a migration, which keeps tables strict", async () => {
    const { degree_shape: _, ...others } = migratedSchema().tables;
    const statements = await migrationBetween({ ...migratedSchema(), tables: others }, await declaredSchema());
    expect(statements).toEqual([
      "CREATE TABLE `degree_shape` (\n\t`table_name` text PRIMARY KEY NOT NULL,\n\t`orders` text NOT NULL,\n\t`apart` text NOT NULL\n) STRICT;",
    ]);
  });

  test("the program runs every migration in the folder", () => {
    expect(migrationNames()).toHaveLength(schemaVersion);
  });

  test("a new database has the tables of schema.ts, and all are strict", () => {
    const store = openStore(":memory:");
    const names = tables.map((table) => getTableConfig(table).name);
    const found = store.prepare(
      "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT GLOB 'sqlite_*'",
    );
    expect(new Map(found.values().map(([name, strict]) => [String(name), strict]))).toEqual(
      new Map(names.map((name) => [name, 1])),
    );
    for (const table of tables) {
      const { name } = getTableConfig(table);
      expect([name, migratedShape(store, name)]).toEqual([name, declaredShape(table)]);
    }
    store.close();
  });
});

test("a new database has the schema of one that release 0.1.0 made, byte for byte, and what was added since", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    writeFileSync(path, Bun.zstdDecompressSync(readFileSync(format5)));
    const before = openStore(path, { readonly: true });
    const recorded = schemaTexts(before);
    before.close();
    const opened = openStore(path, { convert: true });
    const created = openStore(":memory:");
    expect(recorded.size).toBeGreaterThan(10);
    for (const [name, text] of recorded) expect([name, schemaTexts(opened).get(name)]).toEqual([name, text]);
    expect(schemaTexts(created)).toEqual(schemaTexts(opened));
    created.close();
    opened.close();
  }));
