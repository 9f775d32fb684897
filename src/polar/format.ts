/**
 * The formatter: two spaces of indent, one statement per line, lists and conditions on one line if they fit. It keeps
 * all comments. It needs only a successful parse, and the output parses to the same tree.
 */
import { acceptable, listed, nestingMax } from "./compile.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { concat, hardLine, layout } from "./format/doc.ts";
import { type Page, printItems } from "./format/page.ts";
import { printStatement } from "./format/print-statement.ts";
import { tokenize } from "./lexer.ts";
import type { PolarLimits } from "./limits.ts";
import { parseTokens } from "./parser.ts";
import { createReport } from "./report.ts";
import type { Source } from "./source.ts";

/** The canonical text, or the syntax errors of the source. */
export type Formatted = { readonly text: string } | { readonly diagnostics: readonly Diagnostic[] };

const width = 100;

export function format(source: Source, limits: PolarLimits): Formatted {
  const report = createReport();
  if (!acceptable([source], limits, report)) return { diagnostics: report.diagnostics };
  const { tokens, comments } = tokenize(source, report);
  const { statements } = parseTokens(source.name, tokens, nestingMax(limits), report);
  if (report.diagnostics.some(({ severity }) => severity === "error"))
    return { diagnostics: listed(report.diagnostics, [source], limits) };

  const page: Page = { text: source.text, tokens, comments, next: 0 };
  const items = statements.map((statement) => ({
    start: statement.span.start,
    print: () => printStatement(page, statement),
    isBlock: statement.kind === "block" || statement.kind === "test" || statement.kind === "fixture",
  }));
  const lines = printItems(page, items, source.text.length);
  // The first line needs no break before it, the last one does after it.
  return { text: lines.length === 0 ? "" : layout(concat([...lines.slice(1), hardLine()]), width) };
}
