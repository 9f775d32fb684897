/**
 * A policy of a megabyte can be made to cost far more than its text: conditions and types multiply, and each predicate of facts is a table. What
 * is too large to be worked with is refused, at the rule where it shows.
 */
import type { Span } from "../../polar/span.ts";

export type Excess =
  /** `or` and `in` of one rule multiply to too many alternatives, or those of all rules to too many conditions. */
  | "alternatives"
  /** One alternative of a rule has too many conditions. */
  | "conditions"
  /** Types of arguments multiply to too many combinations. */
  | "types"
  /** Facts of too many predicates. */
  | "predicates";

/** `span` is the rule, or the declaration; `undefined` where a question is too large, not a policy. */
export class TooLarge extends Error {
  readonly excess: Excess;
  readonly span: Span | undefined;
  constructor(excess: Excess, span: Span | undefined) {
    super(`too many ${excess}`);
    this.excess = excess;
    this.span = span;
  }
}

/** So many of something, all together. */
export class Budget {
  readonly #excess: Excess;
  #left: number;

  constructor(max: number, excess: Excess) {
    this.#left = max;
    this.#excess = excess;
  }

  /** Throws `TooLarge`. */
  spend(count: number, span: Span | undefined): void {
    this.#left -= count;
    if (this.#left < 0) throw new TooLarge(this.#excess, span);
  }
}
