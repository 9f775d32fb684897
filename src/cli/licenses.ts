/**
 * `ostiary licenses`: the name, version and license of everything inside the program, and the texts of the licenses.
 * `scripts/build` collects them into one file, which the compiled program contains.
 */
import { readFileSync } from "node:fs";
import { print } from "../runtime/process.ts";
import { builtFileUrl } from "../runtime/program.ts";
import { AppError } from "../util/app-error.ts";
import type { AddCommand } from "./command.ts";

/** The name of the file inside the program, and in `dist/`. */
export const licensesName = "licenses.archive";

export interface LicensedComponent {
  readonly name: string;
  /** Of a part of the runtime often the commit of its repository; null if it is not known. */
  readonly version: string | null;
  /** Which part of the program contains it. */
  readonly partOf: "program" | "runtime";
  /** The package URL (https://github.com/package-url/purl-spec). */
  readonly purl: string;
  /** An SPDX license expression. */
  readonly license: string;
  readonly text: string;
  /** SHA-512 of the package in the registry, in hexadecimal; null if there is none. */
  readonly sha512: string | null;
}

export const licensesCommand: AddCommand = (program) => {
  program
    .command("licenses")
    .description("Print the licenses of everything inside this program, with their texts")
    .option("--json", "Print JSON: one object for each component")
    .action(async (options: { json?: true }) => {
      const components = readLicenses();
      await print(options.json ? `${JSON.stringify(components, null, 2)}\n` : licensesText(components));
    });
};

/** Throws AppError `not_found` if the program runs from source and was never built. */
function readLicenses(): readonly LicensedComponent[] {
  try {
    return JSON.parse(readFileSync(builtFileUrl(licensesName), "utf8")) as readonly LicensedComponent[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new AppError("not_found", "the list of licenses is not built: run `scripts/build`");
  }
}

/** A list of the components, and each text once, after the components that it belongs to. */
export function licensesText(components: readonly LicensedComponent[]): string {
  const byText = Map.groupBy(components, ({ text }) => text.trim());
  const texts = [...byText].map(([text, owners]) => {
    const heading = owners.map(({ name, version }) => [name, version].filter(Boolean).join(" ")).join(", ");
    return `\n${"-".repeat(80)}\n${heading}\n\n${text}\n`;
  });
  const width = Math.max(...components.map(({ name }) => name.length));
  const versionWidth = Math.max(...components.map(({ version }) => version?.length ?? 0));
  const lines = components.map(
    ({ name, version, license }) => `${name.padEnd(width)}  ${(version ?? "").padEnd(versionWidth)}  ${license}\n`,
  );
  return `${lines.join("")}${texts.join("")}`;
}
