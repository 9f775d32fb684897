/** What Debian's lintian says of the Debian package: nothing. It needs half a minute for the size of the program. */
import { $ } from "bun";
import { expect, test } from "bun:test";
import { programPath } from "../e2e/program.ts";
import { builtPackages } from "./built-packages.ts";

test("the Debian package is clean according to lintian", async () => {
  const { debianPackage } = await builtPackages();
  const options = ["--allow-root", "--display-info", "--fail-on", "error,warning,info"];
  const checked = await $`${programPath("lintian")} ${options} ${debianPackage}`.nothrow().quiet();
  expect(checked.stdout.toString()).toBe("");
  expect(checked.exitCode).toBe(0);
}, 600_000);
