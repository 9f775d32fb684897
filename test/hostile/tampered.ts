/** Tampered snapshots and backups with a right SHA-256 and, if requested, a valid MAC. */
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { compressFile, decompressFile } from "../../src/runtime/compress.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { encodeHeader, type SnapshotManifest } from "../../src/store/snapshot/snapshot-header.ts";
import { openSnapshot } from "../../src/store/snapshot/snapshot.ts";

export interface Tampering {
  /** SQL for the unpacked database. */
  readonly sql?: string;
  readonly manifest?: Partial<SnapshotManifest>;
  /** The key for a new MAC; without it the MAC is removed. */
  readonly nodeKeyHash?: string;
}

/** Writes the changed file to `target`. */
export async function tamper(file: string, target: string, { sql, manifest, nodeKeyHash }: Tampering): Promise<string> {
  const original = openSnapshot(file);
  const database = `${target}.tampering`;
  for (const path of [database, target]) rmSync(path, { force: true });
  await decompressFile(file, database, original.size - original.manifest.bytes, Number.MAX_SAFE_INTEGER);
  if (sql !== undefined) changeDatabase(database, sql);
  const packed = await compressFile(database, target, new Uint8Array());
  const changed = { ...original.manifest, ...packed, unpackedBytes: statSync(database).size, ...manifest };
  writeFileSync(target, Buffer.concat([encodeHeader(changed, { nodeKeyHash }), readFileSync(target)]));
  rmSync(database);
  return target;
}

/** Changes the database like `sqlite3`. */
export function changeDatabase(path: string, sql: string): void {
  const database = new SqliteDatabase(path);
  database.exec("PRAGMA writable_schema = OFF");
  for (const statement of sql.split(";;")) database.exec(statement);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

/** Changes that the digest does not show: by name, the SQL, and the text in the error. */
export const changes: Readonly<Record<string, readonly [sql: string, named: string]>> = {
  "a trigger that makes admins of all keys": [
    "CREATE TRIGGER grants AFTER INSERT ON log BEGIN UPDATE api_key SET role = 'admin'; END",
    "trigger `grants`",
  ],
  "a trigger whose name clears the screen": [
    "CREATE TRIGGER \"\u001b[2Jx\" AFTER INSERT ON log BEGIN UPDATE api_key SET role = 'admin'; END",
    "trigger `\\u001b[2Jx`",
  ],
  "a view instead of a table": [
    "ALTER TABLE api_key RENAME TO real_key;;CREATE VIEW api_key AS SELECT id, name, 'admin' AS role, hash, time_ms FROM real_key",
    "table `api_key`",
  ],
  "a view beside the tables": ["CREATE VIEW extra AS SELECT * FROM api_key", "view `extra`"],
  "a table beside the others": ["CREATE TABLE extra (a)", "table `extra`"],
  "a table as statistics for the planner": ["ANALYZE", "table `sqlite_stat1`"],
  "a virtual table": ["CREATE VIRTUAL TABLE extra USING fts5(a)", "extra"],
  "an index on a fixed table": ["CREATE INDEX extra ON api_key (role)", "index `extra`"],
  "an index on a fact table, of an expression": [
    "CREATE INDEX fact_1_by_2_1_3 ON fact_1 (abs(a2))",
    "`fact_1_by_2_1_3`",
  ],
  "an index on some facts alone": [
    "CREATE INDEX fact_1_by_3_1_2 ON fact_1 (a3, a1, a2) WHERE a1 > 7",
    "`fact_1_by_3_1_2`",
  ],
  "a default that calls a function": [
    "ALTER TABLE answered ADD COLUMN extra TEXT DEFAULT (lower('X'))",
    "table `answered`",
  ],
  "a generated column": [
    "ALTER TABLE api_key ADD COLUMN extra TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL",
    "table `api_key`",
  ],
  "a check": [
    "ALTER TABLE policy RENAME TO p;;CREATE TABLE policy (id INTEGER PRIMARY KEY, source TEXT NOT NULL, filename TEXT, time_ms INTEGER NOT NULL, CHECK (length(source) > 0)) STRICT;;INSERT INTO policy SELECT * FROM p;;DROP TABLE p",
    "table `policy`",
  ],
  "a missing index": ["DROP INDEX answered_offset", "index `answered_offset`"],
  "a relation without its table": [
    "INSERT INTO relation (id, predicate, arity) VALUES (77, 'ghost', 2)",
    "table `fact_77`",
  ],
};
