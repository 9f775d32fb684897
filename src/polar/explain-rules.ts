/** Prints each shorthand rule in longhand, as Polar: a policy with these rules instead has the same rules. */
import { must } from "../util/assert.ts";
import { nestingMax } from "./compile.ts";
import { layout } from "./format/doc.ts";
import type { Page } from "./format/page.ts";
import { printShorthandRule } from "./format/print-statement.ts";
import { format } from "./format.ts";
import { tokenize } from "./lexer.ts";
import type { PolarLimits } from "./limits.ts";
import { parseTokens } from "./parser.ts";
import type { Policy, Rule } from "./policy.ts";
import { printRule } from "./print.ts";
import { createReport } from "./report.ts";
import type { Source } from "./source.ts";
import type { Span } from "./span.ts";

export interface ExplainedRules {
  /** In the order of the text. */
  readonly rules: readonly (Shorthand & { readonly longhand: string })[];
  /** The default rules of a policy that defines no `allow`. */
  readonly implicit: readonly string[];
}

interface Shorthand {
  readonly span: Span;
  /** As written, but on one line. */
  readonly shorthand: string;
}

/** `policy` is the compiled form of `sources`. */
export function explainRules(sources: readonly Source[], policy: Policy, limits: PolarLimits): ExplainedRules {
  const bySpan = new Map(policy.rules.map((rule) => [spanKey(rule.span), rule]));
  return {
    rules: sources
      .flatMap((source) => shorthandRules(source, limits))
      .map((found) => ({ ...found, longhand: longhandOf(must(bySpan.get(spanKey(found.span))), limits) })),
    implicit: policy.rules.filter((rule) => rule.implicit).map((rule) => longhandOf(rule, limits)),
  };
}

function spanKey({ file, start }: Span): string {
  return `${file}:${start}`;
}

function shorthandRules(source: Source, limits: PolarLimits): Shorthand[] {
  const report = createReport();
  const { tokens } = tokenize(source, report);
  const { statements } = parseTokens(source.name, tokens, nestingMax(limits), report);
  const page: Page = { text: source.text, tokens, comments: [], next: 0 };
  return statements
    .flatMap((statement) => (statement.kind === "block" ? statement.rules : []))
    .map((rule) => ({
      span: rule.span,
      shorthand: layout(printShorthandRule(page, rule), Number.MAX_SAFE_INTEGER),
    }));
}

function longhandOf(rule: Rule, limits: PolarLimits): string {
  const text = printRule(rule, writtenNames(rule));
  // Longhand is longer than the shorthand that the limits accepted, and nests one level deeper.
  const formatted = format({ name: "", text }, { ...limits, sourceBytesMax: Infinity, depthMax: Infinity });
  return "text" in formatted ? formatted.text.trimEnd() : text;
}

/** A variable that occurs once gets a leading `_` (`_resource`, `_`), so that it causes no warning. */
function writtenNames(rule: Rule): (name: string) => string {
  const counts = new Map<string, number>();
  printRule(rule, (name) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return name;
  });
  return (name) => {
    if (counts.get(name) !== 1) return name;
    if (name.startsWith("_")) return /^_\d+$/.test(name) ? "_" : name;
    return counts.has(`_${name}`) ? "_" : `_${name}`;
  };
}
