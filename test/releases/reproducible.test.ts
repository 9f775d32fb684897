/**
 * The same tree gives the same programs and packages, byte for byte, on every machine. So anyone can verify a release by
 * building it again.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildBinary } from "../../scripts/build-binary.ts";
import { buildTargets, ownArchitecture } from "../../scripts/build-targets.ts";
import { projectRoot, projectVersion } from "../../scripts/built-binary.ts";
import { buildPackages } from "../../scripts/package.ts";
import { findProgram } from "../e2e/program.ts";
import { withDirectory } from "../replication/cluster.ts";

const sumOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

test.each(buildTargets.map(({ name }) => name))(
  "the program for %s",
  (target) =>
    withDirectory(async (directory) => {
      const sums: string[] = [];
      for (const folder of ["one", "another"]) {
        const output = join(directory, folder, `ostiary-${folder}`);
        await buildBinary({ output, target });
        sums.push(sumOf(output));
      }
      expect(sums[0]).toBe(sums[1]);
    }),
  240_000,
);

test.skipIf(findProgram("dpkg-deb") === null)(
  "the Debian package",
  () =>
    withDirectory(async (directory) => {
      const sums: string[] = [];
      for (const folder of ["one", "another"]) {
        const output = join(directory, folder);
        const { debianPackage } = await buildPackages({ architecture: ownArchitecture, withBundle: false, output });
        sums.push(sumOf(debianPackage));
      }
      expect(sums[0]).toBe(sums[1]);
    }),
  240_000,
);

test(
  "the npm package for applications",
  () =>
    withDirectory(async (directory) => {
      const sums = ["one", "another"].map((folder) => {
        const output = join(directory, folder);
        const words = [process.execPath, "pm", "pack", "--destination", output, "--quiet"];
        expect(Bun.spawnSync(words, { cwd: projectRoot }).exitCode).toBe(0);
        return sumOf(join(output, `ostiary-${projectVersion()}.tgz`));
      });
      expect(sums[0]).toBe(sums[1]);
    }),
  60_000,
);
