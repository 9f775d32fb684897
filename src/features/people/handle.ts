/** Who am I, and how can a person log in? The routes of a login need no key, so they are limited before they work. */
import { Elysia } from "elysia";
import type { Config } from "../../config/config.ts";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { publicGrant } from "../../http/events/public-grant.ts";
import { keyAccess } from "../../http/middleware/access.ts";
import { type Exchange, exchangeOf } from "../../http/middleware/exchange.ts";
import type { Principal } from "../../http/middleware/principal.ts";
import type { People } from "../../http/oidc/people.ts";
import { loginParsers } from "../../http/request/login-schemas.ts";

export function whoamiRoute(node: Node, limits: Limits) {
  return new Elysia()
    .use(keyAccess("read", limits.readBodyBytesMax))
    .get("/api/whoami", ({ request }) => whoami(node, must(exchangeOf(request).principal)));
}

function whoami(node: Node, principal: Principal) {
  const { kind, id, role, expiresMs } = principal;
  const name = principal.kind === "person" ? principal.name : (node.engine().secretsOf(id)[0]?.name ?? null);
  const restriction = principal.kind === "person" ? undefined : principal.restriction;
  return { kind, id, name, role, environment: node.environment, ...publicGrant({ expiresMs, restriction }) };
}

/** Returns the API key for a one-time code. Throws `unauthorized`. */
export type RedeemLoginCode = (code: string) => string;

export interface LoginOptions {
  readonly oidc: Config["oidc"] | undefined;
  readonly people: People | undefined;
  /** Only of `ostiary dev`. */
  readonly redeemLoginCode: RedeemLoginCode | undefined;
}

export function loginRoutes({ oidc, people, redeemLoginCode }: LoginOptions) {
  const routes = new Elysia()
    // What a client needs to know before there is a token. The issuer and a public client are no secrets.
    .get("/api/login", async ({ request, route }) => {
      exchangeOf(request).route = route;
      if (oidc?.issuer === undefined || people === undefined) throw noIssuer();
      const { issuer, clientId = null, scopes, audience } = oidc;
      const page = (await people.authorizationEndpoint()) ?? null;
      return { issuer, client_id: clientId, scopes, audience, authorization_endpoint: page };
    })
    .post(
      "/api/login/token",
      async ({ request, route }) => {
        const exchange = exchangeOf(request);
        exchange.route = route;
        if (people === undefined) throw noIssuer();
        people.admitLogin();
        return { token: await people.exchange(loginParsers.token(await bodyOf(exchange, request))) };
      },
      { parse: "none" },
    );
  if (redeemLoginCode === undefined) return routes;
  return routes.post(
    "/api/login/code",
    async ({ request, route }) => {
      const exchange = exchangeOf(request);
      exchange.route = route;
      return { token: redeemLoginCode(loginParsers.code(await bodyOf(exchange, request)).code) };
    },
    { parse: "none" },
  );
}

function noIssuer(): AppError {
  return new AppError(
    "not_found",
    "this node has no OIDC issuer, so people cannot log in: use an API key, or set `oidc.issuer` in its configuration",
  );
}

/** Codes of some issuers are long. */
const bodyBytesMax = 16_384;

function bodyOf(exchange: Exchange, request: Request): Promise<unknown> {
  return exchange.bodies.readJson(exchange, request, bodyBytesMax);
}
