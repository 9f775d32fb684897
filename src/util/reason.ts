/** Texts for errors in messages and in the log. */

/** The message on one line, for expected failures (nobody listens, a time-out) that need no stack in the log. */
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

/** Why a file or a directory cannot be used. */
export function fileProblem(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return fileProblems[code] ?? message;
}

const fileProblems: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "a part of its path is a file",
  EISDIR: "it is a directory",
  EACCES: "reading it is not permitted",
  EPERM: "reading it is not permitted",
  EEXIST: "a part of its path is a file",
  ENXIO: "it is no regular file",
  ELOOP: "its symbolic links lead in a circle",
};

/** Why a connection failed, more precise than the runtime; undefined for other errors. */
export function connectionProblem(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown };
  const problem = typeof code === "string" ? connectionProblems[code] : undefined;
  return problem === undefined ? undefined : `${problem} (${String(code)})`;
}

const connectionProblems: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "its host is not known",
  EAI_AGAIN: "its host is not known",
  EHOSTUNREACH: "its host can't be reached",
  ENETUNREACH: "its network can't be reached",
  ETIMEDOUT: "its host does not answer",
  ECONNRESET: "it has closed the connection",
};
