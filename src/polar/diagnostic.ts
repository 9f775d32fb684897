import type { Span } from "./span.ts";

/** One finding about a policy. Collected, all returned, rendered in `render.ts` alone; CLI and HTTP show the same. */
export interface Diagnostic {
  /** Stable, kebab-case: `syntax/unexpected-token`, `block/undeclared-name`. */
  readonly code: string;
  readonly severity: "error" | "warning";
  /** Lower case, no final period, user input in backticks, one line. */
  readonly message: string;
  readonly span: Span;
  /** How to mend it. */
  readonly hint?: string;
  /** What else there is to know, a line each, such as why a test fails; indented where one line belongs to another. */
  readonly notes?: readonly string[];
  /** The other ends of the problem, such as the first of two declarations. */
  readonly related?: readonly { readonly message: string; readonly span: Span }[];
}
