/** Requests that match no route. The JSON response tells whether the method is wrong or the path is unknown. */
import { Elysia } from "elysia";
import { AppError } from "../util/app-error.ts";
import { errorCatalogue } from "./middleware/error-catalogue.ts";
import { exchangeOf, reply, type Exchange } from "./middleware/exchange.ts";
import { acceptedTypes } from "./request/media-types.ts";

export interface RegisteredRoute {
  readonly method: string;
  readonly path: string;
}

/** With `consoleAddress`, browsers that ask for `/` are sent there; the address is relative to that of the node. */
export function notFoundRoutes(registered: readonly RegisteredRoute[], consoleAddress?: string) {
  return new Elysia().all(
    "/*",
    ({ request, path }) => {
      if (path === "/" && consoleAddress !== undefined && isPageVisit(request))
        return new Response(null, { status: 302, headers: { Location: consoleAddress, Vary: "Accept" } });
      const methods = methodsOf(registered, path);
      if (methods.length > 0) return methodNotAllowed(exchangeOf(request), path, methods);
      throw new AppError("not_found", `there is no route \`${request.method} ${path}\``);
    },
    { parse: "none" },
  );
}

/** Programs accept any type, browsers name HTML. */
function isPageVisit({ method, headers }: Request): boolean {
  return (method === "GET" || method === "HEAD") && acceptedTypes(headers.get("accept")).includes("text/html");
}

function methodNotAllowed(exchange: Exchange, path: string, methods: readonly string[]): Response {
  const allow = methods.join(", ");
  const message = `\`${path}\` takes ${allow}`;
  if (exchange.method === "OPTIONS") return reply(exchange, 200, { message }, { Allow: allow });
  const refusal = `${message}, not ${exchange.method}`;
  const code = "method_not_allowed";
  exchange.errorCode = code;
  return reply(exchange, errorCatalogue[code].status, { message: refusal, code }, { Allow: allow });
}

function methodsOf(routes: readonly RegisteredRoute[], path: string): string[] {
  const methods = routes
    .filter((route) => route.method !== "ALL" && matches(route.path, path))
    .map(({ method }) => method);
  if (methods.includes("GET")) methods.push("HEAD");
  return methods.length === 0 ? [] : [...new Set(methods), "OPTIONS"];
}

/** Whether the path is one of the route. */
export function matches(pattern: string, path: string): boolean {
  const parts = path.split("/");
  const expected = pattern.split("/");
  return (
    parts.length === expected.length && expected.every((part, index) => part.startsWith(":") || part === parts[index])
  );
}
