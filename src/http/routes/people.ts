/** Who am I, and how can a person log in? */
import { Elysia } from "elysia";
import type { Config } from "../../config/config.ts";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { keyAccess } from "../middleware/access.ts";
import { exchangeOf } from "../middleware/exchange.ts";
import type { Principal } from "../middleware/principal.ts";

export function whoamiRoute(node: Node, limits: Limits) {
  return new Elysia()
    .use(keyAccess("read", limits.readBodyBytesMax))
    .get("/api/whoami", ({ request }) => whoami(node, must(exchangeOf(request).principal)));
}

function whoami(node: Node, principal: Principal) {
  const { kind, id, role, expiresMs } = principal;
  const name = principal.kind === "person" ? principal.name : (node.engine().secretsOf(id)[0]?.name ?? null);
  const expires = expiresMs === undefined ? {} : { expires: new Date(expiresMs).toISOString() };
  return { kind, id, name, role, environment: node.environment, ...expires };
}

/** What `ostiary login` needs to know before there is a token. The issuer and a public client are no secrets. */
export function loginRoute(oidc: Config["oidc"] | undefined) {
  return new Elysia().get("/api/login", ({ request, route }) => {
    exchangeOf(request).route = route;
    if (oidc?.issuer === undefined)
      throw new AppError(
        "not_found",
        "this node has no OIDC issuer, so people cannot log in: use an API key, or set `oidc.issuer` in its configuration",
      );
    const { issuer, clientId = null, scopes, audience } = oidc;
    return { issuer, client_id: clientId, scopes, audience };
  });
}
