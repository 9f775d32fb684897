/** Policies to try things on: those that the tests hold, and the public ones beside the project where they are there. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readCases } from "../golden.ts";
import { parseCase } from "../cases/case.ts";

const corpus = join(import.meta.dir, "../../../shared/corpus");

export const hasCorpus = existsSync(corpus);

/** The policies of the golden files, of the case files and of the corpus, valid or not. */
export function policyTexts(): string[] {
  const golden = filesIn(import.meta.dir, ".polar").flatMap((path) => readCases(path).map((one) => one.text));
  const cases = filesIn(join(import.meta.dir, "../cases"), ".yaml").map(
    (path) => parseCase(readFileSync(path, "utf8")).policy,
  );
  const shared = hasCorpus ? filesIn(corpus, ".polar").map((path) => readFileSync(path, "utf8")) : [];
  return [...golden, ...cases, ...shared];
}

function filesIn(directory: string, ending: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(ending)).map((name) => join(directory, name));
}
