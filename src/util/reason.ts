/**
 * The message of an error on one line, for expected failures (nobody listens, a time-out) that need no stack in the
 * log.
 */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll("\n", " ");
}

/** The error with its stack for the log, or only its message if another node could not be reached. */
export function detailOf(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const expected =
    error.name === "TimeoutError" ||
    error.name === "AbortError" ||
    typeof (error as { code?: unknown }).code === "string";
  return expected ? reasonOf(error) : error;
}
