/** A complete OIDC issuer on this machine (`oidc-provider`), and a browser in which a person agrees to everything. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair } from "jose";
import { type Configuration, Provider } from "oidc-provider";

export interface IdentityProvider extends AsyncDisposable {
  readonly url: string;
  /** The grants that were used at the token endpoint. */
  readonly grants: string[];
  /** How many logins were revoked. */
  readonly revoked: () => number;
}

export const person = { sub: "ann", email: "ann@example.com", email_verified: true, groups: ["writers"] };
export const clientId = "ostiary-cli";

/** `idTokenSeconds` is how long an ID token is valid. */
export async function startIdentityProvider(idTokenSeconds: number): Promise<IdentityProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: "first", alg: "ES256", use: "sig" };
  const provider = new Provider(url, configuration(idTokenSeconds, jwk));
  const grants: string[] = [];
  let revoked = 0;
  provider.on("grant.success", ({ oidc }) => grants.push(String(oidc.params?.["grant_type"])));
  provider.on("grant.revoked", () => (revoked += 1));
  const respond = provider.callback();
  server.on("request", (request, response) => {
    if (request.url?.startsWith("/agree/") !== true) return void respond(request, response);
    void (async () => {
      const { params } = await provider.interactionDetails(request, response);
      const grant = new provider.Grant({ accountId: person.sub, clientId });
      grant.addOIDCScope(String(params["scope"]));
      const consent = { grantId: await grant.save() };
      await provider.interactionFinished(request, response, { login: { accountId: person.sub }, consent });
    })();
  });
  return {
    url,
    grants,
    revoked: () => revoked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function configuration(idTokenSeconds: number, jwk: object): Configuration {
  return {
    clients: [
      {
        client_id: clientId,
        token_endpoint_auth_method: "none",
        application_type: "native",
        // Of `ostiary login`, and of the web console.
        redirect_uris: ["http://127.0.0.1/callback", "http://127.0.0.1/console/"],
        response_types: ["code"],
        grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        id_token_signed_response_alg: "ES256",
      },
    ],
    jwks: { keys: [jwk as { kty: string }] },
    cookies: { keys: ["cookies"] },
    scopes: ["openid", "offline_access", "email", "groups"],
    claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
    conformIdTokenClaims: false,
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ ...person, sub }) }),
    interactions: { url: (_, { uid }) => `/agree/${uid}` },
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
    },
    ttl: { IdToken: idTokenSeconds },
  };
}

interface Page {
  readonly url: string;
  /** The fields to send. */
  readonly form?: URLSearchParams;
}

/** Opens a page, follows redirects, and submits every form with its hidden fields. Returns the text of the last page. */
export async function browse(url: string): Promise<string> {
  const cookies = new Map<string, string>();
  let next: Page | undefined = { url };
  let text = "";
  for (let steps = 0; next !== undefined && steps < 20; steps++) {
    const response: Response = await fetch(next.url, {
      redirect: "manual",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      ...(next.form !== undefined && { method: "POST", body: next.form }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    text = await response.text();
    next = pageAfter(next.url, response.headers.get("location"), text);
  }
  return text;
}

function pageAfter(base: string, location: string | null, text: string): Page | undefined {
  if (location !== null) return { url: new URL(location, base).href };
  const [, action] = /<form[^>]* action="([^"]+)"/.exec(text) ?? [];
  if (action === undefined) return undefined;
  const form = new URLSearchParams();
  for (const [, name = "", value = ""] of text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g))
    form.append(name, value);
  return { url: new URL(action, base).href, form };
}
