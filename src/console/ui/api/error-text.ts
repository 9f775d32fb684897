/** The text of an error. */
import { ApiError, NoAnswerError } from "./node-api.ts";

/** The message of the node, or of an unexpected error; `noAnswer` if the node gives no answer. */
export function messageOf(error: unknown, noAnswer = ""): string {
  if (error instanceof NoAnswerError) return noAnswer;
  if (error instanceof ApiError || error instanceof Error) return error.message;
  return String(error);
}
