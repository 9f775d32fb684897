import type { Span } from "./span.ts";

/** One problem of a policy. Only `render.ts` turns it into text, the same for the CLI and HTTP. */
export interface Diagnostic {
  /** Stable, kebab-case: `syntax/unexpected-token`, `block/undeclared-name`. */
  readonly code: string;
  readonly severity: "error" | "warning";
  /** Lower case, no final period, user input in backticks, one line. */
  readonly message: string;
  readonly span: Span;
  /** How to fix it. */
  readonly hint?: string;
  /** Further lines, such as why a test fails. A line that belongs to the one before is indented. */
  readonly notes?: readonly string[];
  /** Other positions of the same problem, such as the first of two declarations. */
  readonly related?: readonly { readonly message: string; readonly span: Span }[];
}
