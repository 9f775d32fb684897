/**
 * The program for all code outside of `src/`: `dist/ostiary`. It is built if it is missing or older than its sources.
 */
import * as Bun from "bun";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

export const projectRoot = resolve(import.meta.dirname, "..");
export const binaryPath = join(projectRoot, "dist", "ostiary");

/** The program on Deno, from source. */
export const denoProgram = join(projectRoot, "scripts", "ostiary-deno");

export async function builtBinary(): Promise<string> {
  if (!existsSync(binaryPath) || statSync(binaryPath).mtimeMs < newestSourceMs()) {
    const build = Bun.spawn([process.execPath, join(projectRoot, "scripts", "build.ts")], {
      cwd: projectRoot,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [status, output, errors] = await Promise.all([build.exited, build.stdout.text(), build.stderr.text()]);
    if (status !== 0) throw new Error(`scripts/build ended with status ${status}:\n${output}${errors}`);
  }
  return binaryPath;
}

function newestSourceMs(): number {
  const sources = readdirSync(join(projectRoot, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath, entry.name));
  const scripts = ["build-binary.ts", "console-archive.ts"].map((name) => join("scripts", name));
  const others = ["package.json", "bun.lock", ...scripts].map((name) => join(projectRoot, name));
  return Math.max(...[...sources, ...others].map((path) => statSync(path).mtimeMs));
}
