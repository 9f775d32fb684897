/**
 * The compiler pipeline from source text to a checked policy, the only entry point of this folder. Every stage adds to
 * one list of diagnostics and passes the rest on, so that the user sees all problems at once. Only the expansion of
 * shorthand requires a program without errors.
 */
import { runChecks, warn } from "./checks/run.ts";
import { collectDeclarations } from "./declarations.ts";
import { desugar } from "./desugar.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { PolarLimits } from "./limits.ts";
import { withoutIgnored } from "./ignored-warnings.ts";
import { parse } from "./parser.ts";
import type { Policy } from "./policy.ts";
import { type Report, createReport, quote } from "./report.ts";
import type { Source } from "./source.ts";
import { must } from "../util/assert.ts";

export interface Compilation {
  /** `undefined` if any diagnostic is an error. */
  readonly policy: Policy | undefined;
  readonly diagnostics: Diagnostic[];
}

export interface CompileOptions {
  /**
   * Runs the checks that need a policy without errors (on its Datalog program), so that their diagnostics are sorted
   * with the others.
   */
  readonly further?: (policy: Policy) => readonly Diagnostic[];
  /** False for a policy that was accepted earlier, whose warnings nobody sees. The default is true. */
  readonly warns?: boolean;
}

/** All files form one policy; their order and that of statements does not matter. */
export function compile(
  sources: readonly Source[],
  limits: PolarLimits,
  { further = () => [], warns = true }: CompileOptions = {},
): Compilation {
  const report = createReport();
  if (!acceptable(sources, limits, report)) return { policy: undefined, diagnostics: report.diagnostics };

  const depthMax = nestingMax(limits);
  const programs = sources.map((source) => parse(source, depthMax, report));
  const program = {
    statements: programs.flatMap(({ statements }) => statements),
    incomplete: programs.some(({ incomplete }) => incomplete),
  };
  const declarations = collectDeclarations(program, limits.expandedItemsMax);
  const context = { program, declarations, limits, report };
  runChecks(context);
  if (warns) {
    warn(context);
    programs.forEach(({ statements }, index) => {
      if (statements.length === 0) warnOfEmptyFile(must(sources[index]), report);
    });
  }

  const policy = hasErrors(report.diagnostics) ? undefined : desugar(program, declarations);
  if (policy) report.diagnostics.push(...further(policy));
  return {
    policy: hasErrors(report.diagnostics) ? undefined : policy,
    diagnostics: listed(withoutIgnored(report.diagnostics, sources), sources, limits),
  };
}

/** A warning, unless the file has an error, which explains that it has no statements. */
function warnOfEmptyFile({ name }: Source, { warning, diagnostics }: Report): void {
  if (diagnostics.some(({ span }) => span.file === name)) return;
  const message = "the file has no statements, and a policy allows only what its rules give";
  const hint = "begin with `actor User {}` and the block of a resource";
  warning("syntax/empty-file", { file: name, start: 0, end: 0 }, message, { hint });
}

function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some((diagnostic) => diagnostic.severity === "error");
}

export function acceptable(sources: readonly Source[], limits: PolarLimits, report: Report): boolean {
  const names = new Set<string>();
  let bytes = 0;
  for (const { name, text } of sources) {
    const span = { file: name, start: 0, end: 0 };
    if (names.has(name)) report.error("syntax/duplicate-file", span, `file ${quote(name)} is given twice`);
    names.add(name);
    bytes += new TextEncoder().encode(text).length;
    if (bytes <= limits.sourceBytesMax) continue;
    report.error("syntax/too-long", span, `the policy is longer than ${limits.sourceBytesMax} bytes`);
    break;
  }
  return report.diagnostics.length === 0;
}

/** The parser and the checks recurse, so this bounds the stack for every setting. */
const largestDepth = 1000;

export function nestingMax({ depthMax }: PolarLimits): number {
  return Math.min(depthMax, largestDepth);
}

/** The diagnostics to return: sorted, without duplicates, and at most `diagnosticsMax`. */
export function listed(found: readonly Diagnostic[], sources: readonly Source[], limits: PolarLimits): Diagnostic[] {
  return cut(ordered(found, sources), limits.diagnosticsMax);
}

/** Sorted by file in the given order, then by position, without duplicates. */
function ordered(diagnostics: readonly Diagnostic[], sources: readonly Source[]): Diagnostic[] {
  const fileOrder = new Map(sources.map((source, index) => [source.name, index]));
  const fileIndex = (diagnostic: Diagnostic) => fileOrder.get(diagnostic.span.file) ?? 0;
  const unique = new Map(diagnostics.map((found) => [JSON.stringify([found.code, found.message, found.span]), found]));
  return [...unique.values()].sort(
    (one, other) =>
      fileIndex(one) - fileIndex(other) || one.span.start - other.span.start || one.span.end - other.span.end,
  );
}

/** At most `max` diagnostics, errors before warnings, and one that counts the rest. */
function cut(diagnostics: Diagnostic[], max: number): Diagnostic[] {
  if (diagnostics.length <= max) return diagnostics;
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === "error");
  const kept = errors.length > 0 ? errors.slice(0, max) : diagnostics.slice(0, max);
  const last = kept.at(-1);
  if (!last) return kept;
  const message = `there are ${diagnostics.length - kept.length} more problems, not shown`;
  return [...kept, { code: "syntax/too-many-problems", severity: last.severity, message, span: last.span }];
}
