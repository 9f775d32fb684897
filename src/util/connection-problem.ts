/** Describes why a connection failed. The messages of the runtime are less precise. */
const problems: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "its host is not known",
  EAI_AGAIN: "its host is not known",
  EHOSTUNREACH: "its host can't be reached",
  ENETUNREACH: "its network can't be reached",
  ETIMEDOUT: "its host does not answer",
  ECONNRESET: "it has closed the connection",
};

/** Undefined for other errors. */
export function connectionProblem(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown };
  const problem = typeof code === "string" ? problems[code] : undefined;
  return problem === undefined ? undefined : `${problem} (${String(code)})`;
}
