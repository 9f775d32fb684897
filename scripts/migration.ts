/**
 * Writes the next migration of the fixed tables: what drizzle-kit finds different between `schema.ts` and the schema
 * after the last migration (`migrations/schema.json`). The argument names it: `scripts/migration node-labels` writes
 * `migrations/0006-node-labels.sql`.
 *
 * A migration can only add tables: a database of an older release has them in another file (`added-tables.ts`).
 *
 * Read the result before you commit it. Drizzle knows neither STRICT nor WITHOUT ROWID, so this adds the one, and the
 * other is up to you. The first five migrations are older than this script and written by hand. They stay as they are:
 * drizzle-kit would quote names, spell types in lower case and make unique constraints separate indexes, and a node
 * refuses a snapshot whose schema has another text (`integrity/schema-check.ts`).
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { generateSQLiteDrizzleJson, generateSQLiteMigration } from "drizzle-kit/api";
import * as schema from "../src/store/connection/schema.ts";

type SchemaJson = Awaited<ReturnType<typeof generateSQLiteDrizzleJson>>;

const folder = resolve(import.meta.dirname, "../src/store/connection/migrations");
const schemaPath = join(folder, "schema.json");

/** The schema that `schema.ts` declares. Its ids, random by default, are of no use here. */
export async function declaredSchema(): Promise<SchemaJson> {
  return { ...(await generateSQLiteDrizzleJson(schema)), id: "", prevId: "" };
}

/** The schema after the last migration. */
export function migratedSchema(): SchemaJson {
  return JSON.parse(readFileSync(schemaPath, "utf8")) as SchemaJson;
}

/** The statements that lead from one schema to the other. */
export async function migrationBetween(before: SchemaJson, after: SchemaJson): Promise<string[]> {
  const statements = await generateSQLiteMigration(before, after);
  return statements.map((sql) => (/^\s*CREATE TABLE/i.test(sql) ? sql.replace(/\);\s*$/, ") STRICT;") : sql.trimEnd()));
}

/** The names of all migrations, in the order in which they run. */
export function migrationNames(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .toSorted();
}

async function writeMigration(name: string): Promise<void> {
  const declared = await declaredSchema();
  const statements = await migrationBetween(migratedSchema(), declared);
  if (statements.length === 0) return console.log("schema.ts and the migrations agree: there is nothing to migrate");
  const file = `${String(migrationNames().length + 1).padStart(4, "0")}-${name}.sql`;
  writeFileSync(join(folder, file), `${statements.join("\n")}\n`);
  writeFileSync(schemaPath, `${JSON.stringify(declared, null, 2)}\n`);
  console.log(`wrote src/store/connection/migrations/${file}: read it, and add it to the list in database-format.ts`);
}

if (import.meta.main) {
  const [name = "change"] = process.argv.slice(2);
  if (!name.startsWith("-")) await writeMigration(name);
  else {
    console.log(
      "scripts/migration [name]\n\n  name     of the file, such as node-labels (default change)\n  --help   show this",
    );
    process.exit(name === "--help" ? 0 : 2);
  }
}
