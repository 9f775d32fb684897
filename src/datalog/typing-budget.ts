/**
 * Combinations of types multiply: a call with three arguments that may each be any of two hundred types has eight million. Whatever makes them
 * spends from a budget, so that a short policy cannot take minutes and gigabytes.
 */
import type { Span } from "../polar/span.ts";

/** `span` is the rule, or the declaration, at which there were too many. */
export class TooManyTypings extends Error {
  readonly span: Span | undefined;
  constructor(span: Span | undefined) {
    super("too many combinations of types");
    this.span = span;
  }
}

export class TypingBudget {
  #left: number;

  constructor(typingsMax: number) {
    this.#left = typingsMax;
  }

  /** Throws `TooManyTypings`. */
  spend(typings: number, span: Span | undefined): void {
    this.#left -= typings;
    if (this.#left < 0) throw new TooManyTypings(span);
  }
}
