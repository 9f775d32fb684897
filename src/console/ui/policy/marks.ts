/** What the editor shows beside and below the lines of one file. Pure. */
import { policyTexts } from "../texts/policy.ts";
import type { Failure, RuleCount, RulesReport, TestReport } from "./reports.ts";

/** A text below a line. */
export interface LineNote {
  readonly line: number;
  readonly kind: "failure" | "longhand";
  readonly text: string;
}

/** For each line with rules the fewest tests that exercise one of them. */
export function countsByLine(counts: readonly RuleCount[], file: string): ReadonlyMap<number, number> {
  const lines = new Map<number, number>();
  for (const { file: of, line, tests } of counts)
    if (of === file) lines.set(line, Math.min(tests, lines.get(line) ?? tests));
  return lines;
}

export function failureNotes(failures: readonly Failure[], file: string): LineNote[] {
  return failures
    .filter((failure) => failure.file === file)
    .map((failure) => ({ line: failure.endLine, kind: "failure", text: failureText(failure) }));
}

/** The message with its reasons, one a line. */
export function failureText({ test, message, notes = [] }: Failure): string {
  return [policyTexts.tests.failure(test, message), ...notes.map((note) => `  ${note}`)].join("\n");
}

export function longhandNotes(rules: RulesReport["rules"], file: string): LineNote[] {
  return rules
    .filter((rule) => rule.file === file)
    .map(({ line, longhand }) => ({ line, kind: "longhand", text: longhand }));
}

/** How many tests passed as a whole. */
export function passedTests({ tests }: Pick<TestReport, "tests">): number {
  return tests.filter(({ passed, total }) => passed === total).length;
}
