/** A file whose format no version writes is refused with its name and a remedy, however it is opened. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { requireKnownSchemaIn } from "../../src/store/integrity/schema-check.ts";
import { copyStore } from "../../src/store/snapshot/store-copy.ts";
import { AppError } from "../../src/util/app-error.ts";
import { withDirectory } from "../replication/cluster.ts";

test.each([-1, -2_147_483_648, 100_000])("format %d", (format) =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    openStore(path).close();
    const changed = new SqliteDatabase(path);
    changed.exec(`PRAGMA user_version = ${format}`);
    changed.close();
    const openings = [
      () => openStore(path),
      () => openStore(path, { readonly: true }),
      () => requireKnownSchemaIn(path),
      () => copyStore(path, join(directory, "copy.db"), "backup"),
    ];
    for (const opening of openings) {
      const error = thrownBy(opening);
      expect(error).toBeInstanceOf(AppError);
      expect((error as AppError).code).toBe("internal");
      expect((error as AppError).message).toStartWith(
        `the database \`${path}\` has format ${format}, which no version`,
      );
      expect((error as AppError).message).toContain("Use a backup, or the copy of another node");
    }
  }),
);

function thrownBy(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  return undefined;
}
