/**
 * Limits on the size of a compiled policy, which can cost far more than its text: conditions and types multiply, and
 * each predicate of facts is a table. A policy that exceeds one is refused, with the rule that exceeds it.
 */
import type { Span } from "../../polar/span.ts";

export type Excess =
  /** `or` and `in` of one rule multiply to too many alternatives, or all rules together have too many conditions. */
  | "alternatives"
  /** One alternative of a rule has too many conditions. */
  | "conditions"
  /** Types of arguments multiply to too many combinations. */
  | "types"
  /** Facts of too many predicates. */
  | "predicates";

/** `span` is the rule or declaration; it is `undefined` if a question is too large. */
export class TooLarge extends Error {
  readonly excess: Excess;
  readonly span: Span | undefined;
  constructor(excess: Excess, span: Span | undefined) {
    super(`too many ${excess}`);
    this.excess = excess;
    this.span = span;
  }
}

/** A total that several steps share. The returned function spends a part of it, or throws `TooLarge`. */
export function budget(max: number, excess: Excess): (count: number, span: Span | undefined) => void {
  let left = max;
  return (count, span) => {
    left -= count;
    if (left < 0) throw new TooLarge(excess, span);
  };
}
