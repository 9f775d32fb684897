/**
 * The only code that turns errors into responses. A client gets the status and `{"message", "code"}`, the public text
 * of an AppError and its stable code. `details` of an AppError has the other members if the API needs more. All other
 * errors become "internal error" and a log message. The official clients read `message` only and accept more members.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { storageLogLimit, logStorageFailure } from "../../store/directory/storage-status.ts";
import { AppError, type ErrorCode } from "../../util/app-error.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { clip } from "../../util/text-length.ts";
import { recordError } from "./audit.ts";
import { errorCatalogue } from "./error-catalogue.ts";
import { reply, type Exchange } from "./exchange.ts";

/** 409 has no `Retry-After`: the SDKs would take it for a page that is not ready yet. */
const headersOf: { readonly [Code in ErrorCode]?: Readonly<Record<string, string>> } = {
  unauthorized: { "WWW-Authenticate": "Bearer" },
  too_many_requests: { "Retry-After": "1" },
  not_ready: { "Retry-After": "1" },
};

const complaints = storageLogLimit();

export function errorResponse(exchange: Exchange, thrown: unknown): Response {
  const error = thrown instanceof AppError ? thrown : new AppError("internal", "internal error", { cause: thrown });
  exchange.errorCode = error.code;
  if (error.code === "internal") {
    const failure = storageFailureIn(thrown);
    if (failure !== undefined) {
      const message = logStorageFailure(failure, `a request to ${exchange.route}`, complaints);
      // A device that fails may have written before.
      const mayBeDone = failure.reason === "io" || failure.reason === "replaced";
      return errorResponse(exchange, new AppError("not_ready", message, { mayBeDone }));
    }
    if (exchange.node.reportDamage(thrown)) return errorResponse(exchange, damaged);
    const { requestId, route } = exchange;
    metrics.internalErrors.inc();
    logger.error("request {requestId} to {route} failed: {error}", { requestId, route, error: thrown });
  }
  const { code } = error;
  const message = clip(error.message, messageCharactersMax);
  const { status } = errorCatalogue[code];
  recordError(exchange, error, status);
  const headers = headersFor(error);
  // AuthZEN has a string as the body of an error.
  if (isAuthzen(exchange)) return reply(exchange, status, message, headers);
  return reply(exchange, status, { ...(error.details ?? { message }), code }, headers);
}

function headersFor({ code, retryAfterMs }: AppError): Readonly<Record<string, string>> | undefined {
  if (retryAfterMs === undefined) return headersOf[code];
  return { ...headersOf[code], "Retry-After": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) };
}

function isAuthzen({ route }: Exchange): boolean {
  return route.startsWith("/access/v1/");
}

/** Messages repeat names from the request. */
const messageCharactersMax = 4000;

const damaged = new AppError("not_ready", "the database of this node is damaged, ask another node");

const logger = getLogger("http");
