/** Errors about a file that a user has named: they contain its name, and what is wrong in words. */
import { AppError } from "../util/app-error.ts";
import { reasonOf } from "../util/reason.ts";

const fileErrorReasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "it is not permitted",
  EPERM: "it is not permitted",
  EISDIR: "it is a directory",
  ENOTDIR: "its directory is a file",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
};

/** `doing` is the failed operation as a participle, such as `read`. */
export function fileError(path: string, doing: string, error: unknown): AppError {
  const { code } = error as { readonly code?: unknown };
  const why = typeof code === "string" ? fileErrorReasons[code] : undefined;
  if (why !== undefined)
    return new AppError("invalid_request", `\`${path}\` can't be ${doing}: ${why}`, { cause: error });
  const kind = error instanceof AppError ? error.code : "invalid_request";
  return new AppError(kind, `\`${path}\`: ${reasonOf(error)}`, { cause: error });
}
