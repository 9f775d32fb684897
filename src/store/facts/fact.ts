/**
 * Facts as data: `predicate(arg1, …, argN)`. Every argument is a typed value. The HTTP API and the log use the same
 * shapes.
 */

export interface Value {
  readonly type: string;
  readonly id: string;
}

export interface Fact {
  readonly predicate: string;
  readonly args: readonly Value[];
}

/** A pattern for reads and deletes. A null id matches every value of the type, a null type and id match every value. */
export interface FactPattern {
  readonly predicate: string;
  readonly args: readonly { readonly type: string | null; readonly id: string | null }[];
}
