/** The archive of the console for tests. It is made anew if it is older than its sources. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { archiveName } from "../../src/console/console-archive.ts";

export function builtConsole(): void {
  const archive = join(projectRoot, "dist", archiveName);
  if (existsSync(archive) && statSync(archive).mtimeMs >= newestSourceMs()) return;
  // Only Bun has the bundler, and the tests run on Deno as well.
  const { status, stderr } = spawnSync(
    join(projectRoot, "scripts", "bun"),
    [join(projectRoot, "scripts", "console-archive.ts")],
    { cwd: projectRoot, env: { ...process.env, OSTIARY_PACKAGES: "installed" }, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`the console cannot be built: ${stderr}`);
}

function newestSourceMs(): number {
  const folders = [join("src", "console"), join("appliance", "manual")].map((folder) => join(projectRoot, folder));
  const files = folders
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile());
  const script = join(projectRoot, "scripts", "console-archive.ts");
  return Math.max(
    ...[...files.map(({ parentPath, name }) => join(parentPath, name)), script].map((path) => statSync(path).mtimeMs),
  );
}
