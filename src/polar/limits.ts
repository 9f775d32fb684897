/** What a policy may cost. The numbers are settings, so they come in as an argument. */
export interface PolarLimits {
  /** All sources together, in UTF-8 bytes. */
  readonly sourceBytesMax: number;
  /** Nesting of parentheses and `not`, and the length of a chain of `extends`. */
  readonly depthMax: number;
  /** Inherited names, and facts that fixtures add to tests: what a short text could otherwise blow up quadratically. */
  readonly expandedItemsMax: number;
  /** Diagnostics that are returned; the rest is counted. */
  readonly diagnosticsMax: number;
}
