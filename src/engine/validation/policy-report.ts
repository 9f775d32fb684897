/**
 * The report on a policy check as JSON, which the command line and the API return. Test results have the form that Oso
 * Cloud documents (`PolicyTestResult`), together with our positions and reasons.
 */
import { type DiagnosticJson, diagnosticToJson } from "../../polar/render.ts";
import { ruleAt } from "../../polar/rule-text.ts";
import type { Position, Source } from "../../polar/source.ts";
import type { PolicyCheck } from "./policy-check.ts";
import type { Coverage, TestFailure, TestRun } from "./policy-tests.ts";

export interface PolicyReport extends Partial<PolicyTestResult> {
  /** No errors, and every executed test passed. */
  readonly success: boolean;
  /** Errors and warnings, by position. */
  readonly problems: readonly DiagnosticJson[];
  /** The failed assertions with position, answer and reason. Only if tests were executed. */
  readonly failures?: readonly FailureJson[];
  readonly coverage?: CoverageJson;
}

export interface PolicyTestResult {
  readonly success: boolean;
  readonly errors: readonly PolicyTestError[];
  readonly tests: TestRun["tests"];
}

interface PolicyTestError {
  readonly error_type: "ValidationFailed" | "AssertionFailed" | "ServerError";
  readonly message: string;
}

export type FailureJson = DiagnosticJson & { readonly test: string };

export interface CoverageJson {
  readonly rules: number;
  readonly exercised: number;
  readonly complete: Coverage["complete"];
  readonly unexercised: readonly (Position & { readonly file: string; readonly rule: string })[];
}

/** `runTests` says whether tests were requested: for a policy with errors, the tests fail with these errors. */
export function policyReport(
  { policy, diagnostics, tests }: PolicyCheck,
  sources: readonly Source[],
  { runTests }: { readonly runTests: boolean },
): PolicyReport {
  const problems = diagnostics.map((found) => diagnosticToJson(found, sources));
  const success = policy !== undefined && tests?.success !== false;
  if (!runTests) return { success, problems };
  if (!tests) {
    const errors = problems.filter(({ severity }) => severity === "error").map(validationError);
    return { success, errors, tests: [], problems, failures: [] };
  }
  const { coverage } = tests;
  return {
    ...testResult(tests, sources),
    success,
    problems,
    failures: tests.failures.map((failure) => failureToJson(failure, sources)),
    ...(coverage && { coverage: coverageToJson(coverage, sources) }),
  };
}

/** An error of a policy in the form that clients of Oso Cloud expect. */
export function validationError({ file, line, column, message, hint }: DiagnosticJson): PolicyTestError {
  const text = `${file}:${line}:${column}: ${message}${hint === undefined ? "" : ` (${hint})`}`;
  return { error_type: "ValidationFailed", message: text };
}

export function testResult({ success, tests, failures }: TestRun, sources: readonly Source[]): PolicyTestResult {
  const errors = failures.map(({ test, diagnostic }): PolicyTestError => {
    const { code, span, message, notes = [] } = diagnostic;
    const { text, file, line, column } = ruleAt(span, sources);
    const failure = `${file}:${line}:${column}: test \`${test}\`: \`${text}\` failed: ${message}`;
    return {
      error_type: code === "test/failed" ? "AssertionFailed" : "ServerError",
      message: [failure, ...notes.map((note) => `  ${note}`)].join("\n"),
    };
  });
  return { success, errors, tests };
}

export function failureToJson({ test, diagnostic }: TestFailure, sources: readonly Source[]): FailureJson {
  return { test, ...diagnosticToJson(diagnostic, sources) };
}

function coverageToJson({ rules, complete }: Coverage, sources: readonly Source[]): CoverageJson {
  const unexercised = rules.filter(({ exercised }) => !exercised);
  return {
    rules: rules.length,
    exercised: rules.length - unexercised.length,
    complete,
    unexercised: unexercised.map(({ span }) => {
      const { text, ...position } = ruleAt(span, sources);
      return { ...position, rule: text };
    }),
  };
}
