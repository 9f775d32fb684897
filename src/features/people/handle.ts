/** Who am I, and how can a person log in? A login needs no key, so it is limited before it works. */
import type { Config } from "../../config/config.ts";
import { publicGrant } from "../../http/events/public-grant.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import type { Principal } from "../../http/middleware/principal.ts";
import type { People } from "../../http/oidc/people.ts";
import { loginParsers } from "../../http/request/login-schemas.ts";
import type { Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { peopleEndpoints } from "./endpoints.ts";

/** Returns the API key for a one-time code. Throws `unauthorized`. */
export type RedeemLoginCode = (code: string) => string;

export interface LoginOptions {
  readonly oidc: Config["oidc"] | undefined;
  readonly people: People | undefined;
  /** Only of `ostiary dev`. */
  readonly redeemLoginCode: RedeemLoginCode | undefined;
}

export function handlePeople(
  node: Node,
  { oidc, people, redeemLoginCode }: LoginOptions,
): Handlers<typeof peopleEndpoints> {
  return {
    whoami: ({ request }) => whoami(node, must(exchangeOf(request).principal)),
    // What a client needs to know before there is a token. The issuer and a public client are no secrets.
    getLogin: async () => {
      if (oidc?.issuer === undefined || people === undefined) throw noIssuer();
      const { issuer, clientId = null, scopes, audience } = oidc;
      const page = (await people.authorizationEndpoint()) ?? null;
      return { issuer, client_id: clientId, scopes, audience, authorization_endpoint: page };
    },
    postLoginToken: async ({ request }) => {
      if (people === undefined) throw noIssuer();
      people.admitLogin();
      return { token: await people.exchange(loginParsers.loginToken(await bodyOf(request))) };
    },
    postLoginCode:
      redeemLoginCode &&
      (async ({ request }) => ({ token: redeemLoginCode(loginParsers.loginCode(await bodyOf(request)).code) })),
  };
}

function whoami(node: Node, principal: Principal) {
  const { kind, id, role, expiresMs } = principal;
  const name = principal.kind === "person" ? principal.name : (node.engine().secretsOf(id)[0]?.name ?? null);
  const restriction = principal.kind === "person" ? undefined : principal.restriction;
  return { kind, id, name, role, environment: node.environment, ...publicGrant({ expiresMs, restriction }) };
}

function noIssuer(): AppError {
  return new AppError(
    "not_found",
    "this node has no OIDC issuer, so people cannot log in: use an API key, or set `oidc.issuer` in its configuration",
  );
}

/** Codes of some issuers are long. */
const bodyBytesMax = 16_384;

function bodyOf(request: Request): Promise<unknown> {
  const exchange = exchangeOf(request);
  return exchange.parts.bodies.readJson(exchange, request, bodyBytesMax);
}
