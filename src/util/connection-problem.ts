/** Why no connection came about, in words; the runtime's own speak of a computer that may not be able to access a URL. */
const problems: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "its host is not known",
  EAI_AGAIN: "its host is not known",
  EHOSTUNREACH: "its host can't be reached",
  ENETUNREACH: "its network can't be reached",
  ETIMEDOUT: "its host does not answer",
  ECONNRESET: "it has closed the connection",
};

/** Undefined where it is about something else. */
export function connectionProblem(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown };
  const problem = typeof code === "string" ? problems[code] : undefined;
  return problem === undefined ? undefined : `${problem} (${String(code)})`;
}
