/**
 * Whether an uploaded policy is taken, and why not, in the shape in which clients of Oso Cloud expect it (`SavePolicyError`), with our diagnostics
 * beside it. A policy that has errors, or whose own tests fail, is refused whole; the one before stays active.
 */
import type { Limits } from "../../config/limits.ts";
import type { Diagnostic } from "../../polar/diagnostic.ts";
import { diagnosticToJson } from "../../polar/render.ts";
import type { Source } from "../../polar/source.ts";
import { AppError } from "../../util/app-error.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { checkPolicy } from "./policy-check.ts";
import { failureToJson, testResult, validationError } from "./policy-report.ts";

export interface AcceptedPolicy {
  readonly active: ActivePolicy;
  /** A sentence with the first of its warnings; undefined where there are none. The answer to an upload has no other place for them. */
  readonly warning: string | undefined;
}

/** Throws `invalid_policy`, whose details are the body of the answer. */
export function acceptPolicy(
  sources: readonly Source[],
  options: { readonly runTests: boolean; readonly limits: Limits },
): AcceptedPolicy {
  const { active, diagnostics, tests } = checkPolicy(sources, options);
  const { policyProblemsMax } = options.limits;
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
    // An answer with thousands of them would be megabytes long.
    const failures = tests.failures.slice(0, policyProblemsMax);
    const result = testResult({ ...tests, failures }, sources);
    const reasons = result.errors.map(({ message }) => message).join("\n");
    const names = listed(failed, policyProblemsMax).join(", ");
    throw refusal("TestsFailed", `tests of the policy fail: ${names}\n${reasons}`, {
      test_results: result,
      diagnostics: failures.map((failure) => failureToJson(failure, sources)),
    });
  }
  return { active, warning: describeWarnings(diagnostics, sources) };
}

/** The sentence is stored with the policy. */
const [warningsToldMax, warningCharactersMax] = [3, 600];

function describeWarnings(warnings: readonly Diagnostic[], sources: readonly Source[]): string | undefined {
  if (warnings.length === 0) return undefined;
  const told = warnings.slice(0, warningsToldMax).map((warning) => {
    const { file, line, column, message, hint } = diagnosticToJson(warning, sources);
    const text = `${file}:${line}:${column}: ${message}${hint === undefined ? "" : ` (hint: ${hint})`}`;
    return text.length > warningCharactersMax ? `${text.slice(0, warningCharactersMax)}…` : text;
  });
  const count = `${warnings.length} warning${warnings.length > 1 ? "s" : ""}`;
  return `the policy has ${count}, which \`POST /api/validate\` lists: ${listedWith(told, warnings.length)}`;
}

function listedWith(told: readonly string[], count: number): string {
  return (count > told.length ? [...told, `and ${count - told.length} more`] : told).join("; ");
}

function listed(names: readonly string[], max: number): readonly string[] {
  return names.length <= max ? names : [...names.slice(0, max), `and ${names.length - max} more`];
}

function refusal(type: "Validation" | "TestsFailed", message: string, rest: object): AppError {
  return new AppError("invalid_policy", message, { details: { error_type: type, message, ...rest } });
}
