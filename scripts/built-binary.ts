/**
 * The program for all code outside of `src/`: `dist/ostiary`. It is built if it is missing or older than its sources.
 */
import * as Bun from "bun";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { presentCommit } from "./present-commit.ts";
import { type Architecture, ownArchitecture, targetOf } from "./build-targets.ts";

export const projectRoot = resolve(import.meta.dirname, "..");
export const binaryPath = join(projectRoot, "dist", "ostiary");

/** The program on Deno, from source. */
export const denoProgram = join(projectRoot, "scripts", "ostiary-deno");

/** The version in package.json, which a release changes while it runs. */
export function projectVersion(): string {
  const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as {
    readonly version: string;
  };
  return version;
}

/** Whether it is there, and newer than its sources. */
export const isBuilt = (): boolean => existsSync(binaryPath) && statSync(binaryPath).mtimeMs >= newestSourceMs();

export async function builtBinary(): Promise<string> {
  if (!isBuilt()) await runBuild();
  return binaryPath;
}

/**
 * Builds the program again if it says that it is of another commit than the present one, or of a tree with changes: its
 * bill of materials names the present one.
 */
export async function requirePresentBinary(): Promise<string> {
  const path = await builtBinary();
  const said = Bun.spawnSync([path, "version", "--json"]).stdout.toString();
  const { commit: built } = JSON.parse(said) as { readonly commit: string | null };
  if (built !== presentCommit()) await runBuild();
  return path;
}

/** The program for a processor. That of another one is built if it is older than that of this machine. */
export async function binaryFor(architecture: Architecture): Promise<string> {
  const own = await builtBinary();
  if (architecture === ownArchitecture) return own;
  const target = targetOf[architecture];
  const output = join(projectRoot, "dist", `ostiary-${target}`);
  if (!existsSync(output) || statSync(output).mtimeMs < statSync(own).mtimeMs) await runBuild(target);
  return output;
}

/** In a process of its own: only few programs need the code of the build. */
async function runBuild(...words: string[]): Promise<void> {
  const build = Bun.spawn([process.execPath, join(projectRoot, "scripts", "build.ts"), ...words], {
    cwd: projectRoot,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [status, output, errors] = await Promise.all([build.exited, build.stdout.text(), build.stderr.text()]);
  if (status !== 0) throw new Error(`scripts/build ended with status ${status}:\n${output}${errors}`);
}

function newestSourceMs(): number {
  const sources = readdirSync(join(projectRoot, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath, entry.name));
  const licenses = ["bun-components.ts", "bundled-packages.ts", "collect.ts", "standard-texts.ts"];
  const names = ["build-binary.ts", "console-archive.ts", ...licenses.map((name) => join("licenses", name))];
  const scripts = names.map((name) => join("scripts", name));
  // The console has the manual.
  const manual = readdirSync(join(projectRoot, "appliance", "manual")).map((name) => join("appliance", "manual", name));
  const others = ["package.json", "bun.lock", ...scripts, ...manual].map((name) => join(projectRoot, name));
  return Math.max(...[...sources, ...others].map((path) => statSync(path).mtimeMs));
}
