/**
 * The only code that turns errors into responses. A client gets the status and `{"message"}`, the public text of an
 * AppError; `details` of an AppError is the whole body if the API needs more. All other errors become "internal error"
 * and a log message.
 */
import { Elysia } from "elysia";
import { getLogger } from "../../telemetry/logger.ts";
import { storageLogLimit, logStorageFailure } from "../../replication/storage-status.ts";
import { AppError, type ErrorCode } from "../../util/app-error.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { clip } from "../../util/text-length.ts";
import { exchangeOf, reply, type Exchange } from "./exchange.ts";

/**
 * An invalid policy, query or body is 400, as in Oso Cloud. `read_only` is 503 rather than 403 or 405: the key and the
 * route are right, but this node cannot write now (a fallback, a replaced primary), and a proxy can try another node.
 */
export const statusOf = {
  invalid_request: 400,
  invalid_policy: 400,
  query_not_enumerable: 400,
  query_too_expensive: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  list_gone: 409,
  gone: 410,
  request_aborted: 400,
  request_timeout: 408,
  too_large: 413,
  too_many_requests: 429,
  not_ready: 503,
  read_only: 503,
  internal: 500,
} satisfies Record<ErrorCode, number>;

/** 409 has no `Retry-After`: the SDKs would take it for a page that is not ready yet. */
const headersOf: { readonly [Code in ErrorCode]?: Readonly<Record<string, string>> } = {
  unauthorized: { "WWW-Authenticate": "Bearer" },
  too_many_requests: { "Retry-After": "1" },
  not_ready: { "Retry-After": "1" },
};

export const errors = new Elysia({ name: "errors" }).onError({ as: "global" }, ({ error, request }) =>
  errorResponse(exchangeOf(request), error),
);

const complaints = storageLogLimit();

export function errorResponse(exchange: Exchange, thrown: unknown): Response {
  const error = thrown instanceof AppError ? thrown : new AppError("internal", "internal error", { cause: thrown });
  exchange.errorCode = error.code;
  if (error.code === "internal") {
    const failure = storageFailureIn(thrown);
    if (failure !== undefined) {
      const message = logStorageFailure(failure, `a request to ${exchange.route}`, complaints);
      return errorResponse(exchange, new AppError("not_ready", message));
    }
    if (exchange.node.reportDamage(thrown)) return errorResponse(exchange, damaged);
    const { requestId, route } = exchange;
    logger.error("request {requestId} to {route} failed: {error}", { requestId, route, error: thrown });
    const message = "internal error";
    return reply(exchange, statusOf.internal, isAuthzen(exchange) ? message : { message });
  }
  const message = clip(error.message, messageCharactersMax);
  // AuthZEN has a string as the body of an error.
  const body = error.details ?? (isAuthzen(exchange) ? message : { message });
  return reply(exchange, statusOf[error.code], body, headersOf[error.code]);
}

function isAuthzen({ route }: Exchange): boolean {
  return route.startsWith("/access/v1/");
}

/** Messages repeat names from the request. */
const messageCharactersMax = 4000;

const damaged = new AppError("not_ready", "the database of this node is damaged, ask another node");

const logger = getLogger("http");
