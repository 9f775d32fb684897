/**
 * Why an uploaded policy is not taken, in the shape in which clients of Oso Cloud expect it (`SavePolicyError`), with our diagnostics beside it. A
 * policy that has problems, or whose own tests fail, is refused whole; the one before stays active.
 */
import type { Limits } from "../config/limits.ts";
import { type DiagnosticJson, diagnosticToJson } from "../polar/render.ts";
import type { Source } from "../polar/source.ts";
import { AppError } from "../util/app-error.ts";
import { checkPolicy } from "./policy-check.ts";
import { failureToJson, testResult } from "./policy-report.ts";

/** Throws `invalid_policy`, whose details are the body of the answer. */
export function refuseBadPolicy(
  sources: readonly Source[],
  options: { readonly runTests: boolean; readonly limits: Limits },
): void {
  const { policy, diagnostics, tests } = checkPolicy(sources, options);
  if (policy === undefined) {
    const errors = diagnostics
      .filter(({ severity }) => severity === "error")
      .map((found) => diagnosticToJson(found, sources));
    const lines = errors.map(lineOf);
    throw refusal("Validation", lines.join("\n"), {
      errors: lines.map((message) => ({ error_type: "ValidationFailed", message })),
      diagnostics: errors,
    });
  }
  if (tests !== undefined && !tests.success) {
    const failed = tests.tests.filter(({ passed, total }) => passed < total).map(({ name }) => `\`${name}\``);
    const result = testResult(tests, sources);
    const reasons = result.errors.map(({ message }) => message).join("\n");
    throw refusal("TestsFailed", `tests of the policy fail: ${failed.join(", ")}\n${reasons}`, {
      test_results: result,
      diagnostics: tests.failures.map((failure) => failureToJson(failure, sources)),
    });
  }
}

function refusal(type: "Validation" | "TestsFailed", message: string, rest: object): AppError {
  return new AppError("invalid_policy", message, { details: { error_type: type, message, ...rest } });
}

function lineOf({ file, line, column, message, hint }: DiagnosticJson): string {
  return `${file}:${line}:${column}: ${message}${hint === undefined ? "" : ` (${hint})`}`;
}
