/**
 * The same tree gives the same programs and packages, byte for byte, on every machine. So anyone can verify a release by
 * building it again.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { buildBinary } from "../../scripts/build-binary.ts";
import { buildTargets } from "../../scripts/build-targets.ts";
import { projectRoot, projectVersion } from "../../scripts/built-binary.ts";
import { requirePrograms } from "../e2e/program.ts";
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

test(
  "everything that scripts/package makes of the last commit, in two folders",
  () =>
    withDirectory(async (directory) => {
      requirePrograms("dpkg-deb", "buildah");
      const made: Readonly<Record<string, string>>[] = [];
      for (const folder of ["one", "another/longer"]) {
        const clone = join(directory, folder, "ostiary");
        await $`git clone --quiet ${projectRoot} ${clone}`.quiet();
        // It installs the packages of its own: the caller may say that those of its tree are installed.
        await $`${join(clone, "scripts", "package")} --bundle`.env({ ...process.env, OSTIARY_PACKAGES: "" }).quiet();
        const names = readdirSync(join(clone, "dist")).filter((name) =>
          /^ostiary(?:$|[-_].*\.(?:deb|tar|gz|json)$)/.test(name),
        );
        made.push(Object.fromEntries(names.map((name) => [name, sumOf(join(clone, "dist", name))])));
      }
      expect(Object.keys(made[0] ?? {})).toHaveLength(6);
      expect(made[0]).toEqual(made[1]);
    }),
  2_400_000,
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
