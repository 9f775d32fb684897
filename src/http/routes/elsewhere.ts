/** The write routes of a node that does not write itself. An edge sends them on to the primary, a fallback refuses them. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { ForwardedAnswer, ForwardedRequest, Node } from "../../replication/node.ts";
import { traceparentOf } from "../../telemetry/trace-context.ts";
import { AppError } from "../../util/app-error.ts";
import { authorizationOf, bearerIn } from "../keyring.ts";
import { readText } from "../body.ts";
import { adorn, exchangeOf, markDecoded } from "../exchange.ts";

const writeRoutes = [
  ["POST", "/api/policy"],
  ["POST", "/api/batch"],
  ["POST", "/api/clear_data"],
  ["POST", "/api/keys"],
  ["DELETE", "/api/keys/:id"],
] as const;

type Forward = (request: ForwardedRequest) => Promise<ForwardedAnswer>;

/**
 * The primary judges key and body: a key that was just made or removed may not have come here yet. Only the size is checked on the way, and
 * that there is a key at all.
 */
export function forwardedWrites(forward: Forward, limits: Limits) {
  return onWriteRoutes(async ({ request, route }) => {
    const exchange = exchangeOf(request);
    exchange.route = route;
    bearerIn(authorizationOf(request));
    const body = await readText(request, limits.writeBodyBytesMax);
    markDecoded(exchange);
    const { pathname, search } = new URL(request.url);
    const answer = await forward({
      method: request.method,
      path: pathname + search,
      headers: headersToPrimary(request, exchange.requestId, traceparentOf(exchange.span)),
      body: body === "" ? null : body,
    });
    return adorn(exchange, new Response(answer.body, { status: answer.status, headers: headersToClient(answer) }));
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

function onWriteRoutes(handle: (context: { request: Request; route: string }) => Promise<Response>) {
  const routes = new Elysia();
  for (const [method, path] of writeRoutes) {
    routes.route(method, path, async ({ request, route }) => handle({ request, route }), { parse: "none" });
  }
  return routes;
}

function headersToPrimary(request: Request, requestId: string, traceparent: string | null): Record<string, string> {
  const headers: Record<string, string> = { "X-Request-ID": requestId };
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
