/** Page checksums on a failing disk: failed calls do not damage data, so no damage may be reported. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { failingDisk, inDirectory } from "./node.ts";

const seeds = 3;
const script = join(import.meta.dirname, "failing-writer.ts");

test.each([
  ["with", "fsync EIO 0.5 -wal"],
  ["without", "fsync EIO 0.5 -wal"],
  ["with", "fsync EIO 0.3,pwrite EIO 0.2,pwrite ENOSPC 0.5 -wal,pread EIO 0.1"],
])(
  "%s readers, %s: no page counts as damaged",
  (readers, rules) =>
    inDirectory(async ({ directory }) => {
      for (let seed = 1; seed <= seeds; seed++) {
        const data = join(directory, `data-${seed}`);
        mkdirSync(data);
        const { environment } = failingDisk(directory, data);
        const child = Bun.spawn([process.execPath, script, String(seed), rules, readers], {
          env: { ...process.env, ...environment },
          stdout: "pipe",
          stderr: "inherit",
        });
        const printed = (await new Response(child.stdout).text()).trim();
        expect([seed, await child.exited, printed]).toEqual([seed, 0, "null"]);
        const database = new SqliteDatabase(join(data, "store-1.db"), {});
        expect(database.prepare("PRAGMA integrity_check").values()).toEqual([["ok"]]);
        database.close();
      }
    }),
  600_000,
);
