/** The Debian package is the same when it is built again, and clean according to lintian, which takes half a minute. */
import { $ } from "bun";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { buildPackages } from "../../scripts/package.ts";
import { programPath } from "../e2e/program.ts";
import { builtPackages } from "./built-packages.ts";

test("the Debian package is the same, byte for byte, when it is built again with another umask", async () => {
  const { debianPackage } = await builtPackages();
  const output = mkdtempSync(join(tmpdir(), "ostiary-again-"));
  const umask = process.umask(0o077);
  try {
    const again = await buildPackages({ architecture: ownArchitecture, withBundle: false, output, isFast: true });
    expect((await $`cmp ${debianPackage} ${again.debianPackage}`.nothrow().quiet()).stdout.toString()).toBe("");
  } finally {
    process.umask(umask);
    rmSync(output, { recursive: true, force: true });
  }
}, 600_000);

test("the Debian package is clean according to lintian", async () => {
  const { debianPackage } = await builtPackages();
  const options = ["--allow-root", "--display-info", "--fail-on", "error,warning,info"];
  const checked = await $`${programPath("lintian")} ${options} ${debianPackage}`.nothrow().quiet();
  expect(checked.stdout.toString()).toBe("");
  expect(checked.exitCode).toBe(0);
}, 600_000);
