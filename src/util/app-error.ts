/**
 * The error for a bad request, or for a node that cannot answer. `message` is public: lower case, user input in
 * backticks, no internals. Details for the log only are in `cause`. The catalogue of the codes, with their HTTP status,
 * is in `http/middleware/error-catalogue.ts`.
 */
export type ErrorCode =
  | "invalid_request" // malformed body, unknown predicate, wrong arguments
  | "invalid_policy" // `details` holds the body of the answer, without the code
  | "query_not_enumerable" // a variable whose values no stored fact enumerates
  | "query_too_expensive" // past its limit of time, rows or depth
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "method_not_allowed"
  | "conflict" // consistency token of a history that this node does not have, another epoch, a diverged position
  | "list_gone" // a page of a list whose revision this node does not hold any more
  | "gone" // a log position that was trimmed
  | "request_aborted" // the client went away before its body was complete
  | "request_timeout" // the body arrived too slowly
  | "too_large"
  | "too_many_requests"
  | "not_ready" // 503 with Retry-After: no valid database yet, primary unreachable, token not reached in time
  | "read_only" // a write to a fallback
  | "internal";

export class AppError extends Error {
  readonly code: ErrorCode;
  /** The JSON body without its `code`, if the API requires more than `message`. */
  readonly details: object | undefined;
  /** Whether the request may have been done nevertheless. */
  readonly mayBeDone: boolean;
  /** After which time the same request may succeed, if that is known. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; details?: object; retryAfterMs?: number; mayBeDone?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.details = options.details;
    this.retryAfterMs = options.retryAfterMs;
    this.mayBeDone = options.mayBeDone ?? code === "internal";
  }
}
