/** The write routes of a node that does not write itself. An edge sends them on to the primary, a fallback refuses them. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { ApiKeyRole } from "../../engine/state/event.ts";
import type { ForwardedAnswer, ForwardedRequest, Node } from "../../replication/node.ts";
import { traceparentOf } from "../../telemetry/trace-context.ts";
import { AppError } from "../../util/app-error.ts";
import { pathAndQueryOf } from "../../util/request-url.ts";
import { forwardGuard } from "../middleware/access.ts";
import { addResponseHeaders, exchangeOf, markDecoded } from "../middleware/exchange.ts";

/** With the least that a key must be allowed. */
const writeRoutes = [
  ["POST", "/api/policy", "write"],
  ["POST", "/api/batch", "write"],
  ["POST", "/api/clear_data", "write"],
  ["POST", "/api/keys", "admin"],
  ["DELETE", "/api/keys/:id", "admin"],
] as const;

/** Of a request that an edge has sent on already. */
const forwardedHeader = "Ostiary-Forwarded";

type Forward = (request: ForwardedRequest) => Promise<ForwardedAnswer>;

/** The key is checked before the body is read. The primary checks it again, with everything else: this copy may be older than a key's removal. */
export function forwardedWrites(node: Node, forward: Forward, limits: Limits) {
  const requireKey = forwardGuard(node);
  return onWriteRoutes(async ({ request, route, role }) => {
    const exchange = exchangeOf(request);
    exchange.route = route;
    // Two edges that take each other for the primary would send it to and fro.
    if (request.headers.has(forwardedHeader))
      throw new AppError("not_ready", "this node is not the primary any more, its successor is not known here yet");
    await requireKey(exchange, request, role);
    const body = await exchange.bodies.read(exchange, request, limits.writeBodyBytesMax);
    markDecoded(exchange);
    const answer = await forward({
      method: request.method,
      path: pathAndQueryOf(request.url),
      headers: headersToPrimary(request, exchange.requestId, traceparentOf(exchange.span)),
      body: body === "" ? null : body,
    });
    return addResponseHeaders(
      exchange,
      new Response(answer.body, { status: answer.status, headers: headersToClient(answer) }),
    );
  });
}

export function refusedWrites(node: Node) {
  return onWriteRoutes(({ request, route }) => {
    exchangeOf(request).route = route;
    throw new AppError(
      "read_only",
      `this is a ${node.role}, it only answers questions, send writes to the primary or an edge`,
    );
  });
}

function onWriteRoutes(handle: (context: { request: Request; route: string; role: ApiKeyRole }) => Promise<Response>) {
  const routes = new Elysia();
  for (const [method, path, role] of writeRoutes) {
    routes.route(method, path, async ({ request, route }) => handle({ request, route, role }), { parse: "none" });
  }
  return routes;
}

function headersToPrimary(request: Request, requestId: string, traceparent: string | null): Record<string, string> {
  const headers: Record<string, string> = { "X-Request-ID": requestId, [forwardedHeader]: "true" };
  for (const name of ["Authorization", "Content-Type", "User-Agent"]) {
    const value = request.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  if (traceparent !== null) headers["traceparent"] = traceparent;
  return headers;
}

/** Timing and request id of the answer are our own; what says something about the write is passed on. */
function headersToClient(answer: ForwardedAnswer): Record<string, string> {
  const passed = new Set(["content-type", "osooffset", "retry-after", "www-authenticate"]);
  return Object.fromEntries(Object.entries(answer.headers).filter(([name]) => passed.has(name.toLowerCase())));
}
