/** The error for a token that is not valid. */
import { AppError } from "../../util/app-error.ts";

/** `problem` says why. The token is a secret, so no part of it that could be used is in the message. */
export function refusedToken(problem: string, cause?: unknown): AppError {
  return new AppError("unauthorized", `this token is not valid here: ${problem}`, { cause });
}
