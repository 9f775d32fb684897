/**
 * The same tree gives the same programs, byte for byte, on every machine. So anyone can verify a release by building it
 * again.
 */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildBinary } from "../../scripts/build-binary.ts";
import { withDirectory } from "../replication/cluster.ts";

test.each(["linux-x64", "linux-arm64"])(
  "the program for %s",
  (target) =>
    withDirectory(async (directory) => {
      const sums: string[] = [];
      for (const folder of ["one", "another"]) {
        const output = join(directory, folder, `ostiary-${folder}`);
        await buildBinary({ output, target });
        sums.push(createHash("sha256").update(readFileSync(output)).digest("hex"));
      }
      expect(sums[0]).toBe(sums[1]);
    }),
  120_000,
);
