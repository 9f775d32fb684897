/** What is told about a policy: its problems with their places, and how its tests went. The same for every command that takes one. */
import { checkPolicy, type PolicyCheck } from "../engine/policy-check.ts";
import type { PolicyTestResult } from "../engine/policy-tests.ts";
import { diagnosticToJson, renderDiagnostics } from "../polar/render.ts";
import type { Source } from "../polar/source.ts";
import type { PolicyFiles } from "./policy-files.ts";
import { print, printError, wantsColor } from "../runtime/process.ts";

export interface CheckedPolicy extends PolicyCheck {
  readonly sources: readonly Source[];
  /** No errors, and every test that ran passed. */
  readonly good: boolean;
}

export function check({ sources, unreadable }: PolicyFiles, options: { readonly runTests: boolean }): CheckedPolicy {
  // What a missing file declares would be missed everywhere else: those problems would only hide this one.
  if (unreadable.length > 0) {
    return { policy: undefined, diagnostics: unreadable, tests: undefined, sources, good: false };
  }
  const checked = checkPolicy(sources, options);
  return { ...checked, sources, good: checked.policy !== undefined && checked.tests?.success !== false };
}

/** Problems go to standard error, test results to standard output. */
export async function printReport({ diagnostics, sources, tests }: CheckedPolicy): Promise<void> {
  const text = renderDiagnostics(diagnostics, sources, { color: wantsColor("stderr") });
  if (text !== "") await printError(text.endsWith("\n") ? text : `${text}\n`);
  if (tests !== undefined) await print(renderTests(tests));
}

export async function printReportAsJson({ diagnostics, sources, tests, good }: CheckedPolicy): Promise<void> {
  const problems = diagnostics.map((diagnostic) => diagnosticToJson(diagnostic, sources));
  const report = { success: good, problems, ...(tests && { tests: tests.tests, errors: tests.errors }) };
  await print(`${JSON.stringify(report, null, 2)}\n`);
}

function renderTests({ tests, errors }: PolicyTestResult): string {
  const lines = tests.map(
    ({ name, passed, total }) => `${passed === total ? "pass" : "FAIL"}  ${name} (${passed} of ${total})`,
  );
  const failed = tests.filter(({ passed, total }) => passed < total).length;
  const sum =
    tests.length === 0 ? "the policy has no tests" : `${tests.length - failed} of ${tests.length} tests passed`;
  return `${[...lines, ...errors.map(({ message }) => message), sum].join("\n")}\n`;
}
