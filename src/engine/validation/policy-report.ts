/**
 * The report on a policy check as JSON, which the command line and the API return. Test results have the form that Oso
 * Cloud documents (`PolicyTestResult`), together with our positions and reasons.
 */
import { type DiagnosticJson, diagnosticToJson } from "../../polar/render.ts";
import { ruleAt } from "../../polar/rule-text.ts";
import { explainRules } from "../../polar/explain-rules.ts";
import { format } from "../../polar/format.ts";
import { type ModelName, type ModelType, policyModel } from "../../polar/model.ts";
import type { PolarLimits } from "../../polar/limits.ts";
import { lineStarts, type Position, positionAt, type Source } from "../../polar/source.ts";
import type { Span } from "../../polar/span.ts";
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
  /** Each rule, and how many tests exercise it. */
  readonly counts: readonly (Position & { readonly file: string; readonly tests: number })[];
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
  const unexercised = rules.filter(({ tests }) => tests === 0);
  const place = placesIn(sources);
  return {
    rules: rules.length,
    exercised: rules.length - unexercised.length,
    complete,
    unexercised: unexercised.map(({ span }) => {
      const { text, ...position } = ruleAt(span, sources);
      return { ...position, rule: text };
    }),
    counts: rules.map(({ span, tests }) => ({ ...place(span), tests })),
  };
}

/** The longhand of each shorthand rule of a policy; without rules if the policy has errors. */
export interface RulesReport {
  readonly success: boolean;
  readonly problems: readonly DiagnosticJson[];
  readonly rules: readonly (Position & {
    readonly file: string;
    readonly shorthand: string;
    readonly longhand: string;
  })[];
  /** The default rules of a policy without `allow`. */
  readonly implicit: readonly string[];
}

export function rulesReport(
  { policy, diagnostics }: Pick<PolicyCheck, "policy" | "diagnostics">,
  sources: readonly Source[],
  limits: PolarLimits,
): RulesReport {
  const { rules, implicit } = policy ? explainRules(sources, policy, limits) : { rules: [], implicit: [] };
  const place = placesIn(sources);
  return {
    success: policy !== undefined,
    problems: diagnostics.map((found) => diagnosticToJson(found, sources)),
    rules: rules.map(({ span, shorthand, longhand }) => ({ ...place(span), shorthand, longhand })),
    implicit,
  };
}

/** The types and names of a policy, and what implies what. */
export interface ModelReport {
  readonly types: readonly (Omit<ModelType, "span"> & { readonly place: Place | null })[];
  readonly names: readonly (ModelName & { readonly place: Place })[];
  readonly implications: readonly {
    readonly from: ModelName | null;
    readonly to: ModelName;
    readonly through: string | null;
    readonly conditional: boolean;
    readonly rule: string;
    readonly place: Place;
  }[];
}

type Place = Position & { readonly file: string };

/** Without types if the policy has errors. */
export function modelReport({ policy }: Pick<PolicyCheck, "policy">, sources: readonly Source[]): ModelReport {
  if (policy === undefined) return { types: [], names: [], implications: [] };
  const { types, names, implications } = policyModel(policy);
  const place = placesIn(sources);
  return {
    types: types.map(({ span, ...type }) => ({ ...type, place: span === undefined ? null : place(span) })),
    names: names.map(({ span, ...name }) => ({ ...name, place: place(span) })),
    implications: implications.map(({ span, from = null, through = null, ...implication }) => {
      const { text } = ruleAt(span, sources);
      return { ...implication, from, through, rule: text, place: place(span) };
    }),
  };
}

/** The canonical form of each file; a file with syntax errors has these instead. */
export interface FormatReport {
  readonly success: boolean;
  readonly files: readonly {
    readonly file: string;
    readonly changed: boolean;
    readonly problems: readonly DiagnosticJson[];
    readonly text?: string;
  }[];
}

export function formatReport(sources: readonly Source[], limits: PolarLimits): FormatReport {
  const files = sources.map((source) => {
    const formatted = format(source, limits);
    const problems = "diagnostics" in formatted ? formatted.diagnostics : [];
    return {
      file: source.name,
      changed: "text" in formatted && formatted.text !== source.text,
      problems: problems.map((problem) => diagnosticToJson(problem, [source])),
      ...("text" in formatted && { text: formatted.text }),
    };
  });
  return { success: files.every(({ problems }) => problems.length === 0), files };
}

/** The position of each span, with a table of lines for each file. */
function placesIn(sources: readonly Source[]): (span: Span) => Position & { readonly file: string } {
  const starts = new Map(sources.map(({ name, text }) => [name, lineStarts(text)]));
  return ({ file, start }) => ({ file, ...positionAt(starts.get(file) ?? [0], start) });
}
