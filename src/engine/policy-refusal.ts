/**
 * Whether an uploaded policy is taken, and why not, in the shape in which clients of Oso Cloud expect it (`SavePolicyError`), with our diagnostics
 * beside it. A policy that has errors, or whose own tests fail, is refused whole; the one before stays active.
 */
import type { Limits } from "../config/limits.ts";
import { diagnosticToJson } from "../polar/render.ts";
import type { Source } from "../polar/source.ts";
import { AppError } from "../util/app-error.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { checkPolicy } from "./policy-check.ts";
import { failureToJson, testResult, validationError } from "./policy-report.ts";

export interface AcceptedPolicy {
  readonly active: ActivePolicy;
  /** How many there were; the answer to an upload has no place for them. */
  readonly warnings: number;
}

/** Throws `invalid_policy`, whose details are the body of the answer. */
export function acceptPolicy(
  sources: readonly Source[],
  options: { readonly runTests: boolean; readonly limits: Limits },
): AcceptedPolicy {
  const { active, diagnostics, tests } = checkPolicy(sources, options);
  if (active === undefined) {
    const errors = diagnostics
      .filter(({ severity }) => severity === "error")
      .map((found) => diagnosticToJson(found, sources));
    const documented = errors.map(validationError);
    throw refusal("Validation", documented.map(({ message }) => message).join("\n"), {
      errors: documented,
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
  return { active, warnings: diagnostics.length };
}

function refusal(type: "Validation" | "TestsFailed", message: string, rest: object): AppError {
  return new AppError("invalid_policy", message, { details: { error_type: type, message, ...rest } });
}
