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
  /** Changes of the text that a person can choose from. */
  readonly fixes?: readonly Fix[];
  /** Further lines, such as why a test fails. A line that belongs to the one before is indented. */
  readonly notes?: readonly string[];
  /** Other positions of the same problem, such as the first of two declarations. */
  readonly related?: readonly { readonly message: string; readonly span: Span }[];
}

export interface Fix {
  /** As a command, in the style of a message. */
  readonly title: string;
  /** They do not overlap. */
  readonly edits: readonly Edit[];
}

/** Replaces a range of a text. An empty range inserts. */
export interface Edit {
  readonly span: Span;
  readonly text: string;
}
