/** Collects the licenses of everything inside the program into the file that `ostiary licenses` prints. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type LicensedComponent, licensesName } from "../../src/cli/licenses.ts";
import { bunComponents } from "./bun-components.ts";
import { bundledPackages, componentsIn, ownComponent } from "./bundled-packages.ts";

export const licensesPath = join(resolve(import.meta.dirname, "../.."), "dist", licensesName);

/**
 * What the image of Deno contains: Deno with its license, but without the libraries that it links, of which its package
 * has no list; whole packages, and the console.
 */
export async function denoLicenses(packageFolders: Iterable<string>, denoFolder: string): Promise<LicensedComponent[]> {
  const runtime = componentsIn([denoFolder]).map((deno) => ({ ...deno, partOf: "runtime" as const }));
  const program = [...componentsIn(packageFolders), ...(await bundledPackages())];
  const unique = new Map(program.map((component) => [component.purl, component]));
  return [ownComponent(), ...runtime, ...[...unique.values()].toSorted((a, b) => (a.purl < b.purl ? -1 : 1))];
}

/** Writes the file. Throws an error that names a component without a known license. */
export async function buildLicenses(output = licensesPath): Promise<readonly LicensedComponent[]> {
  const components = [ownComponent(), ...bunComponents(), ...(await bundledPackages())];
  mkdirSync(dirname(output), { recursive: true });
  // It gets its name when it is complete, because another build may write it at the same time.
  const unfinished = `${output}.${process.pid}`;
  writeFileSync(unfinished, JSON.stringify(components));
  renameSync(unfinished, output);
  return components;
}
