/** The error for a token that is not valid. */
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";

/** `problem` says why. The token is a secret, so no part of it that could be used is in the message. */
export function refusedToken(problem: string, cause?: unknown): AppError {
  metrics.oidcTokens.inc({ result: "refused" });
  return new AppError("unauthorized", `this token is not valid here: ${problem}`, { cause });
}
