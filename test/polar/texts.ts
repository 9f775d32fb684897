/** Policies for tests of invariants: those of other tests, and public ones next to the project if they exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readCases } from "../golden.ts";
import { parseCase } from "../cases/case.ts";
import { readEntries } from "./entries.ts";

const corpus = join(import.meta.dirname, "../../../shared/corpus");

export const hasCorpus = existsSync(corpus);

/** The policies of the golden files, case files, rows, codes and corpus, valid or not. */
export function policyTexts(): string[] {
  const golden = filesIn(import.meta.dirname, ".polar").flatMap((path) => readCases(path).map((one) => one.text));
  const cases = filesIn(join(import.meta.dirname, "../cases"), ".yaml").map(
    (path) => parseCase(readFileSync(path, "utf8")).policy,
  );
  const shared = hasCorpus ? filesIn(corpus, ".polar").map((path) => readFileSync(path, "utf8")) : [];
  return [...golden, ...cases, ...inEntries("rows"), ...inEntries("codes"), ...shared];
}

const entry = z.looseObject({
  holds: z.array(z.string()).default([]),
  fails: z.array(z.looseObject({ policy: z.string() })).default([]),
  refused: z.unknown().optional(),
  warned: z.unknown().optional(),
  accepted: z.unknown().optional(),
});

function inEntries(folder: string): string[] {
  return readEntries(join(import.meta.dirname, folder), entry)
    .flatMap(([, entries]) => entries)
    .flatMap(({ holds, fails, refused, warned, accepted }) => [
      ...holds,
      ...fails.map(({ policy }) => policy),
      ...[refused, warned, accepted].filter((text) => typeof text === "string"),
    ]);
}

function filesIn(directory: string, ending: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(ending)).map((name) => join(directory, name));
}
