/** Limits of a policy. They are settings, so callers pass them as an argument. */
export interface PolarLimits {
  /** All sources together, in UTF-8 bytes. */
  readonly sourceBytesMax: number;
  /** Nesting of parentheses and `not`, and the length of a chain of `extends`. */
  readonly depthMax: number;
  /** Inherited names, and facts that fixtures add to tests. Both could grow quadratically with the text. */
  readonly expandedItemsMax: number;
  /** Diagnostics that are returned; the rest is counted. */
  readonly diagnosticsMax: number;
}
