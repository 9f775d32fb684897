/** Broken assumptions: a bug of ours, never a bad input. They end the request with 500, or the process where state may be damaged. */

/** Throws when `condition` does not hold; `message` says which assumption broke. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`broken assumption: ${message}`);
}

/** The value, where the caller knows that it is there. */
export function must<T>(value: T | null | undefined, message = "value is missing"): T {
  assert(value !== null && value !== undefined, message);
  return value;
}

/** The end of an exhaustive `switch`: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`broken assumption: unexpected ${JSON.stringify(value)}`);
}
