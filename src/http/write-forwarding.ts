/**
 * Writes on a node that is not the primary. An edge forwards writes to the primary, a fallback refuses them.
 */
import type { Limits } from "../config/limits.ts";
import type { ForwardedAnswer, ForwardedRequest, Node } from "../replication/node.ts";
import { traceparentOf } from "../telemetry/trace-context.ts";
import { AppError } from "../util/app-error.ts";
import { pathAndQueryOf } from "../util/request-url.ts";
import type { Endpoint } from "./endpoint.ts";
import { clientOf } from "./middleware/audit.ts";
import { forwardGuard, refuseMoment } from "./middleware/access.ts";
import { addResponseHeaders, beginEndpoint, exchangeOf, markDecoded } from "./middleware/exchange.ts";
import { parseJson } from "./request/body-reader.ts";
import type { BodyParser } from "./request/body-parser.ts";

/** The header of a request that an edge has forwarded. */
const forwardedHeader = "Ostiary-Forwarded";

type Forward = (request: ForwardedRequest) => Promise<ForwardedAnswer>;

/**
 * Returns a function that forwards a write. The edge checks the API key before it reads the body. The primary checks it
 * again, because the key may have been removed after the last event that this edge has.
 */
export function forwardWrite(node: Node, forward: Forward, limits: Limits, bodies: BodyParser, endpoint: Endpoint) {
  const requireKey = forwardGuard(node);
  const { role = "write" } = endpoint;
  return async (request: Request): Promise<Response> => {
    const exchange = exchangeOf(request);
    beginEndpoint(exchange, endpoint);
    // Two edges that each consider the other one the primary would forward a write forever.
    if (request.headers.has(forwardedHeader))
      throw new AppError("not_ready", "this node is not the primary any more, and does not know the new one yet");
    await requireKey(exchange, request, role);
    refuseMoment(endpoint, request);
    const body = await exchange.parts.bodies.read(exchange, request, limits.writeBodyBytesMax);
    markDecoded(exchange);
    // A primary of 0.1.0 ignores members that it does not know, which can be the limits of a key.
    if (endpoint.body === "key") bodies.parseValue("key", parseJson(body));
    const response = await forward({
      method: request.method,
      requestId: exchange.requestId,
      address: clientOf(exchange).address,
      path: pathAndQueryOf(request.url),
      headers: headersToPrimary(request, exchange.requestId, traceparentOf(exchange.span)),
      body: body === "" ? null : body,
    });
    return addResponseHeaders(
      exchange,
      new Response(response.body, { status: response.status, headers: headersToClient(response) }),
    );
  };
}

export function refuseWrite({ role }: Node, endpoint: Endpoint) {
  return async (request: Request): Promise<never> => {
    beginEndpoint(exchangeOf(request), endpoint);
    throw new AppError(
      "read_only",
      `this is a ${role}, which only answers queries, send writes to the primary or an edge`,
    );
  };
}

function headersToPrimary(request: Request, requestId: string, traceparent: string | null): Record<string, string> {
  const headers: Record<string, string> = { "X-Request-ID": requestId, [forwardedHeader]: "true" };
  for (const name of ["Authorization", "Content-Type", "User-Agent", "Ostiary-Environment"]) {
    const value = request.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  if (traceparent !== null) headers["traceparent"] = traceparent;
  return headers;
}

/** Only headers about the write are passed to the client; timing and request id are those of this node. */
function headersToClient(answer: ForwardedAnswer): Record<string, string> {
  const passed = new Set([
    "content-type",
    "osooffset",
    "ostiary-hint",
    "ostiary-policy-id",
    "retry-after",
    "www-authenticate",
  ]);
  return Object.fromEntries(Object.entries(answer.headers).filter(([name]) => passed.has(name.toLowerCase())));
}
