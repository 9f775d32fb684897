/**
 * Assertions. A broken assumption is a bug, never a bad input. It ends the request with 500, or the process if its
 * state may be damaged.
 */

/** Throws if `condition` is false. `message` names the broken assumption. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`broken assumption: ${message}`);
}

/** Returns the value. Throws if it is missing. */
export function must<T>(value: T | null | undefined, message = "value is missing"): T {
  assert(value !== null && value !== undefined, message);
  return value;
}

/** The default of an exhaustive `switch`. It does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`broken assumption: unexpected ${JSON.stringify(value)}`);
}
