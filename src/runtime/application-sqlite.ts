/** Opens SQLite files of applications, which this program only reads. */
import { platform } from "#platform";
import type { SqliteDriverConnection } from "./platform.ts";

/** Throws the error of SQLite, with its code as `code`. */
export function openApplicationSqlite(path: string): SqliteDriverConnection {
  return platform.openSqlite(path, "readonly");
}
