/**
 * The approval of an uploaded policy, which happens before its activation: the check takes as long as the policy's
 * tests, and the writer must not wait for it. An approval of a text stays valid whatever else is written. Only the
 * warning about unused facts depends on the policy that is replaced, so the approval names that policy.
 *
 * A policy with errors or failing tests is refused as a whole, and the previous policy stays active. The refusal has
 * the form that clients of Oso Cloud expect (`SavePolicyError`), together with our diagnostics.
 */
import type { Limits } from "../../config/limits.ts";
import type { PolicyApproval, UploadedPolicy } from "../../log/append/policy-approval.ts";
import type { Diagnostic } from "../../polar/diagnostic.ts";
import { diagnosticToJson } from "../../polar/render.ts";
import type { Source } from "../../polar/source.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { readState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import { unusedFacts, unusedFactsWarning } from "../../policy/fact-schema.ts";
import { checkPolicy } from "./policy-check.ts";
import { failureToJson, testResult, validationError } from "./policy-report.ts";

/**
 * `reading` runs a function in one read transaction on the store, after the expensive part. Throws `invalid_policy` if
 * the policy is refused.
 */
export function approvePolicy(
  { source, filename, runTests }: UploadedPolicy,
  limits: Limits,
  reading: (body: (store: Connection) => PolicyApproval) => PolicyApproval,
): PolicyApproval {
  const sources = [{ name: filename || "policy.polar", text: source }];
  const { active, warning } = acceptPolicy(sources, { runTests, limits });
  return reading((store) => {
    const notes = [warning, unusedFactsWarning(unusedFacts(store, active))].filter((note) => note !== undefined);
    return { replaces: readState(store).policyId, ...(notes.length > 0 && { warning: notes.join("; ") }) };
  });
}

interface AcceptedPolicy {
  readonly active: ActivePolicy;
  /** One sentence with its first warnings, because the response to an upload has no other place for them. */
  readonly warning: string | undefined;
}

/** Throws `invalid_policy`, whose details are the body of the response. */
export function acceptPolicy(
  sources: readonly Source[],
  options: { readonly runTests: boolean; readonly limits: Limits },
): AcceptedPolicy {
  const { active, diagnostics, tests } = checkPolicy(sources, options);
  const { policyProblemsMax } = options.limits;
  if (active === undefined) {
    const found = diagnostics.filter(({ severity }) => severity === "error");
    const details = found.map((diagnostic) => diagnosticToJson(diagnostic, sources));
    const errors = details.map(validationError);
    throw refusal("Validation", errors.map(({ message }) => message).join("\n"), { errors, diagnostics: details });
  }
  if (tests !== undefined && !tests.success) {
    const failed = tests.tests.filter(({ passed, total }) => passed < total).map(({ name }) => `\`${name}\``);
    // A response with thousands of failures would be megabytes long.
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

/** Small limits, because the sentence is stored with the policy. */
const [warningsDescribedMax, warningCharactersMax] = [3, 600];

function describeWarnings(warnings: readonly Diagnostic[], sources: readonly Source[]): string | undefined {
  if (warnings.length === 0) return undefined;
  const described = warnings.map((warning) => {
    const { file, line, column, message, hint } = diagnosticToJson(warning, sources);
    const text = `${file}:${line}:${column}: ${message}${hint === undefined ? "" : ` (hint: ${hint})`}`;
    return text.length > warningCharactersMax ? `${text.slice(0, warningCharactersMax)}…` : text;
  });
  const count = `${warnings.length} warning${warnings.length > 1 ? "s" : ""}`;
  const listing = listed(described, warningsDescribedMax).join("; ");
  return `the policy has ${count}, which \`POST /api/validate\` lists: ${listing}`;
}

function listed(names: readonly string[], max: number): readonly string[] {
  return names.length <= max ? names : [...names.slice(0, max), `and ${names.length - max} more`];
}

function refusal(type: "Validation" | "TestsFailed", message: string, rest: object): AppError {
  return new AppError("invalid_policy", message, { details: { error_type: type, message, ...rest } });
}
