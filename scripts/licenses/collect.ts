/** Collects the licenses of everything inside the program into the file that `ostiary licenses` prints. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type LicensedComponent, licensesName } from "../../src/cli/licenses.ts";
import { bunComponents } from "./bun-components.ts";
import { bundledPackages, ownComponent } from "./bundled-packages.ts";

export const licensesPath = join(resolve(import.meta.dirname, "../.."), "dist", licensesName);

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
