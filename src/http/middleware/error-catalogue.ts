/**
 * The catalogue of errors: what each code means, what to do about it, and its HTTP status. The API, the OpenAPI document
 * and the manual show it from here. Codes and statuses are stable: clients branch on them.
 */
import type { ErrorCode } from "../../util/app-error.ts";

interface CataloguedError {
  readonly status: number;
  /** What happened, as part of a sentence. */
  readonly cause: string;
  readonly remedy: string;
}

/**
 * An invalid policy, query or body is 400, as in Oso Cloud. `read_only` is 503 rather than 403 or 405: the key and the
 * route are right, but this node cannot write now (a fallback, a replaced primary), and a proxy can try another node.
 */
export const errorCatalogue = {
  invalid_request: {
    status: 400,
    cause: "the body, a header, a parameter, a fact or a token is malformed, or is too long for its place",
    remedy: "change the request as the message says",
  },
  invalid_policy: {
    status: 400,
    cause: "the policy has errors, or one of its tests fails",
    remedy: "fix the policy: `errors` and `diagnostics` of the body list all problems",
  },
  query_not_enumerable: {
    status: 400,
    cause: "the answers cannot be listed; the message names the rule that leaves a value open",
    remedy: "ask for a concrete value, or bind the value to a fact in the rule",
  },
  query_too_expensive: {
    status: 400,
    cause: "a query needs more time, rows, steps or memory than the limits allow",
    remedy: "ask for less, or for fewer values at a time",
  },
  request_aborted: {
    status: 400,
    cause: "the client closed the connection before the body was complete",
    remedy: "send the request again",
  },
  unauthorized: {
    status: 401,
    cause:
      "no API key, a malformed header, a key that has expired or that this environment does not have, or a token that is not valid",
    remedy: "send a valid key, or log in again",
  },
  forbidden: {
    status: 403,
    cause:
      "the role of the key or the person does not allow this route, the route needs a key of the default environment, or the key may not change these facts",
    remedy: "use a key that the message describes, or one without this restriction",
  },
  not_found: {
    status: 404,
    cause:
      "an unknown route, API key, policy, environment or name of data bindings, or a route that this role of node does not have",
    remedy: "check the path and the id",
  },
  method_not_allowed: {
    status: 405,
    cause: "the route does not have this method; the header `Allow` lists its methods",
    remedy: "use one of these methods",
  },
  request_timeout: {
    status: 408,
    cause: "the body arrived too slowly; nothing was done",
    remedy: "send the request again",
  },
  conflict: {
    status: 409,
    cause:
      "a consistency token of another history; a promotion that is not safe; the last admin key; an environment that exists, or is deleted; a policy that replaces another version than the active one",
    remedy: "read again without the token, or as the message says",
  },
  list_gone: {
    status: 409,
    cause: "the node cannot continue a paged list",
    remedy: "start the list again without `page_token`",
  },
  gone: {
    status: 410,
    cause: "the log of the node does not reach back to this position or moment",
    remedy: "continue from `head` of the answer, or ask about a moment from the earliest on, which the message names",
  },
  too_large: {
    status: 413,
    cause: "the body, a list in it, or the number of facts that a pattern deletes is too large",
    remedy: "send less, in parts",
  },
  too_many_requests: {
    status: 429,
    cause: "the API key, or all keys together, have too many requests at work, or send too many; `Retry-After` is set",
    remedy: "wait for the other requests, or as long as `Retry-After` says",
  },
  internal: {
    status: 500,
    cause: "a defect of Ostiary; the log has the reason under the request id",
    remedy: "report it",
  },
  not_ready: {
    status: 503,
    cause:
      "no valid data yet; the primary or a position cannot be reached in time; the disk is full; too many requests. `Retry-After` is set",
    remedy: "send the request again, or ask another node",
  },
  read_only: {
    status: 503,
    cause: "a write to a fallback",
    remedy: "send writes to the primary or an edge",
  },
} satisfies Record<ErrorCode, CataloguedError>;
