/**
 * Measures the runtime that runs it: decisions in process, and applying events. The arguments are the file of a company,
 * its number of facts and the seed of both; the result goes to standard output as JSON.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { measureApply } from "./applying.ts";
import { companyOf, factsOf } from "./company.ts";
import { timeDecisions } from "./decisions.ts";

export interface RuntimeTimes {
  /** Milliseconds for a decision, uniform pairs, decision cache off. */
  readonly authorizeMs: number;
  readonly appliedPerSecond: number;
}

const [path = "", facts = "", seed = ""] = process.argv.slice(2);
const policy = readFileSync(join(import.meta.dirname, "..", "example", "policy.polar"), "utf8");
const directory = mkdtempSync(join(tmpdir(), "ostiary-bench-"));
try {
  const times = timeDecisions(path, companyOf(Number(facts), Number(seed)), Number(seed) + 2, 60);
  const { appliedPerSecond } = measureApply(
    join(directory, "apply.db"),
    policy,
    factsOf(companyOf(20_000, Number(seed))),
  );
  const result: RuntimeTimes = { authorizeMs: times.uniform.p50, appliedPerSecond };
  console.log(JSON.stringify(result));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
