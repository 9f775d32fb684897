/** What to say of something that was thrown, in one line of a log: expected failures (nobody listens, a time-out) need no stack. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll("\n", " ");
}

/** The error itself, stack and all, unless it only says that somebody could not be reached. */
export function detailOf(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const expected =
    error.name === "TimeoutError" ||
    error.name === "AbortError" ||
    typeof (error as { code?: unknown }).code === "string";
  return expected ? reasonOf(error) : error;
}
