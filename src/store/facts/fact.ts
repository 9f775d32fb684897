/** Facts as data: `predicate(arg1, …, argN)`, every argument a typed value. The shapes are those of the wire (http-api). */

export interface Value {
  readonly type: string;
  readonly id: string;
}

export interface Fact {
  readonly predicate: string;
  readonly args: readonly Value[];
}

/** For reads and deletes: `null` id is any value of the type, `null` type and id is any value at all. */
export interface FactPattern {
  readonly predicate: string;
  readonly args: readonly { readonly type: string | null; readonly id: string | null }[];
}
