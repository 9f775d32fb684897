/**
 * The write routes of a node that is not the primary. An edge forwards writes to the primary, a fallback refuses them.
 */
import { Elysia } from "elysia";
import type { Limits } from "../config/limits.ts";
import type { ApiKeyRole } from "../engine/state/event.ts";
import type { ForwardedAnswer, ForwardedRequest, Node } from "../replication/node.ts";
import { traceparentOf } from "../telemetry/trace-context.ts";
import { AppError } from "../util/app-error.ts";
import { pathAndQueryOf } from "../util/request-url.ts";
import { clientOf } from "./middleware/audit.ts";
import { forwardGuard } from "./middleware/access.ts";
import { addResponseHeaders, exchangeOf, markDecoded } from "./middleware/exchange.ts";
import { parseJson } from "./request/body-reader.ts";
import type { BodyParser } from "./request/body-parser.ts";
import { matches } from "./not-found.ts";

const keysPath = "/api/keys";

/** The routes, with the weakest role that is accepted. */
const writeRoutes = [
  ["POST", "/api/policy", "write"],
  ["POST", "/api/policy_rollback", "write"],
  ["POST", "/api/batch", "write"],
  ["POST", "/api/clear_data", "write"],
  ["POST", "/api/facts", "write"],
  ["DELETE", "/api/facts", "write"],
  ["POST", "/api/bulk_load", "write"],
  ["POST", "/api/bulk_delete", "write"],
  ["POST", "/api/bulk", "write"],
  ["POST", keysPath, "admin"],
  ["POST", "/api/keys/:id/rotate", "admin"],
  ["DELETE", "/api/keys/:id", "admin"],
  ["PUT", "/api/bindings/:name", "admin"],
  ["DELETE", "/api/bindings/:name", "admin"],
] as const;

/** Those of the default environment only. */
const environmentRoutes = [
  ["POST", "/api/environments", "admin"],
  ["POST", "/api/environments/complete", "admin"],
  ["PATCH", "/api/environments/:id", "admin"],
  ["DELETE", "/api/environments/:id", "admin"],
  ["POST", "/api/environments/:id/restore", "admin"],
  ["POST", "/api/environments/:id/abandon", "admin"],
  ["POST", "/api/environments/:id/keys", "admin"],
] as const;

/** Whether an edge forwards this request to the primary. */
export function isForwarded(method: string, path: string): boolean {
  return [...writeRoutes, ...environmentRoutes].some(
    ([ofRoute, pattern]) => ofRoute === method && matches(pattern, path),
  );
}

/** The header of a request that an edge has forwarded. */
const forwardedHeader = "Ostiary-Forwarded";

type Forward = (request: ForwardedRequest) => Promise<ForwardedAnswer>;

/**
 * The edge checks the API key before it reads the body. The primary checks it again, because the key may have been
 * removed after the last event that this edge has.
 */
export function forwardedWrites(node: Node, forward: Forward, limits: Limits, bodies: BodyParser, isHosted: boolean) {
  const requireKey = forwardGuard(node);
  return onWriteRoutes(isHosted, async ({ request, route, role }) => {
    const exchange = exchangeOf(request);
    exchange.route = route;
    // Two edges that each consider the other one the primary would forward a write forever.
    if (request.headers.has(forwardedHeader))
      throw new AppError("not_ready", "this node is not the primary any more, and does not know the new one yet");
    await requireKey(exchange, request, role);
    const body = await exchange.bodies.read(exchange, request, limits.writeBodyBytesMax);
    markDecoded(exchange);
    // A primary of 0.1.0 ignores members that it does not know, which can be the limits of a key.
    if (route === keysPath) bodies.parseValue("key", parseJson(body));
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
  });
}

export function refusedWrites(node: Node, isHosted: boolean) {
  return onWriteRoutes(isHosted, ({ request, route }) => {
    exchangeOf(request).route = route;
    throw new AppError(
      "read_only",
      `this is a ${node.role}, which only answers queries, send writes to the primary or an edge`,
    );
  });
}

function onWriteRoutes(
  isHosted: boolean,
  handle: (context: { request: Request; route: string; role: ApiKeyRole }) => Promise<Response>,
) {
  const routes = new Elysia();
  for (const [method, path, role] of [...writeRoutes, ...(isHosted ? [] : environmentRoutes)]) {
    routes.route(method, path, async ({ request, route }) => handle({ request, route, role }), { parse: "none" });
  }
  return routes;
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
  const passed = new Set(["content-type", "osooffset", "ostiary-policy-id", "retry-after", "www-authenticate"]);
  return Object.fromEntries(Object.entries(answer.headers).filter(([name]) => passed.has(name.toLowerCase())));
}
