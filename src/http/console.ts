/** The files of the web console. They need no API key, because they are the same for everybody. */
import { Elysia } from "elysia";
import { pathOf } from "../util/request-url.ts";
import { exchangeOf } from "./middleware/exchange.ts";

/**
 * The response to a request for the file at `path`, which is relative to the console's own address; the page itself is
 * the empty path. Throws AppError `not_found`.
 */
export type ServeConsole = (path: string, headers: Headers) => Promise<Response>;

export const consolePath = "/console";

/** Relative, so that it is right behind a proxy that adds a path prefix. */
export const consoleAddress = "console/";

export function consoleRoutes(serve: ServeConsole) {
  return new Elysia().get(consolePath, answer).get(`${consolePath}/*`, answer);

  function answer({ request, route }: { request: Request; route: string }): Response | Promise<Response> {
    exchangeOf(request).route = route;
    const path = pathOf(request.url).slice(consolePath.length);
    if (path === "") return new Response(null, { status: 308, headers: { Location: consoleAddress } });
    return serve(path.slice(1), request.headers);
  }
}
