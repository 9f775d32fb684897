/**
 * The program for Deno as a folder that needs no package manager: the sources, the packages that they import, with all
 * packages that these need, and the archive of the web console.
 */
import * as Bun from "bun";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "./built-binary.ts";
import { licensesName } from "../src/cli/licenses.ts";
import { buildConsole } from "./console-archive.ts";
import { denoLicenses } from "./licenses/collect.ts";
import { workerEntries } from "./worker-entries.ts";

/** The code in the browser is in the archive. */
const browserSources = join(projectRoot, "src", "console", "ui");
const packagesFolder = join(projectRoot, "node_modules");

/** Writes it into `folder`, which must not exist. */
export async function writeDenoProgram(folder: string): Promise<void> {
  await buildConsole();
  for (const name of ["package.json", "deno.json", join("dist", "console.archive")])
    cpSync(join(projectRoot, name), join(folder, name));
  cpSync(join(projectRoot, "src"), join(folder, "src"), {
    recursive: true,
    filter: (path) => !path.startsWith(browserSources),
  });
  const packages = [...neededPackages()];
  for (const name of packages)
    cpSync(join(packagesFolder, name), join(folder, "node_modules", name), { recursive: true });
  const folders = packages.flatMap((name) => [
    join(packagesFolder, name),
    ...nestedPackages(join(packagesFolder, name)),
  ]);
  const licenses = await denoLicenses(folders, join(packagesFolder, "deno"));
  writeFileSync(join(folder, "dist", licensesName), JSON.stringify(licenses));
  // `deno cache` compiles what a file imports, and nothing imports the workers.
  const entries = ["main.ts", "runtime/worker-process-main.ts", ...workerEntries];
  writeFileSync(join(folder, "entries.ts"), entries.map((entry) => `import "./src/${entry}";\n`).join(""));
}

/** The Deno of this machine among the packages. */
export function denoBinary(): string {
  const [found] = new Bun.Glob("@deno/*/deno").scanSync({ cwd: packagesFolder, onlyFiles: true });
  if (found === undefined) throw new Error("npm has no Deno for this machine");
  return join(packagesFolder, found);
}

/** The part of a `package.json` that names other packages. */
interface Needs {
  readonly dependencies?: object;
  readonly peerDependencies?: object;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** The packages that the sources import, and those that they need in turn. */
function neededPackages(): ReadonlySet<string> {
  const needed = new Set<string>();
  const add = (name: string): void => {
    const manifest = join(packagesFolder, name, "package.json");
    // A missing one is optional, or nested in the package that needs it.
    if (needed.has(name) || !existsSync(manifest)) return;
    needed.add(name);
    const {
      dependencies = {},
      peerDependencies = {},
      peerDependenciesMeta = {},
    } = JSON.parse(readFileSync(manifest, "utf8")) as Needs;
    const peers = Object.keys(peerDependencies).filter((peer) => peerDependenciesMeta[peer]?.optional !== true);
    for (const other of [...Object.keys(dependencies), ...peers]) add(other);
  };
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  for (const path of new Bun.Glob("src/**/*.ts").scanSync(projectRoot)) {
    if (join(projectRoot, path).startsWith(browserSources)) continue;
    for (const { path: specifier } of transpiler.scanImports(readFileSync(join(projectRoot, path))))
      if (/^(?:@[\w.-]+\/)?[a-z][\w.-]*(?:\/|$)/.test(specifier)) add(nameOf(specifier));
  }
  return needed;
}

/** The folders of packages that a package has inside of itself. */
function nestedPackages(folder: string): string[] {
  const inside = new Bun.Glob("node_modules/{*,@*/*}/package.json").scanSync({ cwd: folder });
  return [...inside].flatMap((path) => {
    const nested = join(folder, path, "..");
    return [nested, ...nestedPackages(nested)];
  });
}

function nameOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}
