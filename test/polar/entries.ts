/** Reads the YAML files of `rows/` and `codes/`, with the form of codes, limits and positions that both share. */
import * as Bun from "bun";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import type { Diagnostic } from "../../src/polar/diagnostic.ts";

export const code = z.string().regex(/^(?:block|fact|rule|syntax|test)\/[a-z]+(?:-[a-z]+)*$/);

/** Some limits, low enough to be reached. */
export const limits = z
  .record(z.string(), z.number().int())
  .refine((given) => Object.keys(given).every((name) => name in defaultLimits), "there is no such limit")
  .transform((given) => given as Partial<Limits>);

/** The entries of every file of a folder, by the file's name. */
export function readEntries<T>(folder: string, entry: z.ZodType<T>): [file: string, entries: T[]][] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".yaml"))
    .sort()
    .map((name) => {
      const read = z.array(entry).safeParse(Bun.YAML.parse(readFileSync(join(folder, name), "utf8")));
      if (!read.success) throw new Error(`${name}: ${z.prettifyError(read.error)}`);
      return [name, read.data];
    });
}

/** `rule/singleton (warning)`: the form of a diagnostic in entries and in the output of tests. */
export function describeCode({ code: found, severity }: Pick<Diagnostic, "code" | "severity">): string {
  return severity === "error" ? found : `${found} (warning)`;
}
