/**
 * `GET /openapi.json`. It needs no API key, since it has no secrets and is the same for everybody. The document is made
 * once, for the first request.
 */
import { createHash } from "node:crypto";
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import { openApiDocument } from "../../http/openapi-document.ts";

export function openApiRoute(limits: Limits) {
  let made: { readonly json: string; readonly tag: string } | undefined;
  return new Elysia().get("/openapi.json", ({ request, route }) => {
    exchangeOf(request).route = route;
    made ??= madeDocument(limits);
    const headers = { "Content-Type": "application/json", ETag: made.tag };
    return request.headers.get("if-none-match") === made.tag
      ? new Response(null, { status: 304, headers })
      : new Response(made.json, { headers });
  });
}

function madeDocument(limits: Limits) {
  const json = JSON.stringify(openApiDocument(limits));
  return { json, tag: `"${createHash("sha256").update(json).digest("base64url").slice(0, 22)}"` };
}
