/** Describes why a file or a directory cannot be used. */
const problems: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "a part of its path is a file",
  EISDIR: "it is a directory",
  EACCES: "reading it is not permitted",
  EPERM: "reading it is not permitted",
  EEXIST: "a part of its path is a file",
  ELOOP: "its symbolic links lead in a circle",
};

export function fileProblem(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return problems[code] ?? message;
}
