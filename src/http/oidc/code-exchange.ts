/**
 * The last step of a login in the web console: the exchange of the issuer's authorization code for a token, with PKCE
 * (RFC 7636). The node does it, because pages of the console send requests to their node only.
 */
import * as oauth from "oauth4webapi";
import type { Config } from "../../config/config.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { reasonOf } from "../../util/reason.ts";
import { clip } from "../../util/text-length.ts";
import type { CodeGrant } from "../request/login-schemas.ts";
import { type IssuerDocuments, type IssuerSource, isLoopback, isSafeUrl, textOf } from "./issuer-documents.ts";
import { tokenFor } from "./token-audience.ts";

/** The URL of the issuer's page where people log in; undefined if it has none that is safe. */
export function authorizationPage(source: IssuerSource, discovery: IssuerDocuments["discovery"]): string | undefined {
  const { authorization_endpoint: page } = discovery;
  return typeof page === "string" && isSafeUrl(page, source.issuer) ? page : undefined;
}

/**
 * Returns the token for this node. AppError `invalid_request` with the issuer's reason if it gives none, `not_ready` if
 * it does not answer.
 */
export async function exchangeCode(
  source: IssuerSource,
  discovery: IssuerDocuments["discovery"],
  { clientId, audience }: Pick<Config["oidc"], "clientId" | "audience">,
  grant: CodeGrant,
): Promise<string> {
  const { issuer, limits } = source;
  const { token_endpoint: endpoint } = discovery;
  if (clientId === undefined)
    throw new AppError("not_found", "this node has no client for logins: set `oidc.clientId` in its configuration");
  if (typeof endpoint !== "string" || !isSafeUrl(endpoint, issuer))
    throw new AppError("not_ready", "the OIDC issuer has no token endpoint with an HTTPS URL");
  const server = { ...discovery, issuer, token_endpoint: endpoint } as oauth.AuthorizationServer;
  const client = { client_id: clientId };
  const answer = new URLSearchParams({ code: grant.code, ...(grant.iss !== undefined && { iss: grant.iss }) });
  try {
    const response = await oauth.authorizationCodeGrantRequest(
      ...([server, client, oauth.None()] as const),
      // The page has checked the state.
      oauth.validateAuthResponse(server, client, answer, oauth.skipStateCheck),
      grant.redirect_uri,
      grant.code_verifier,
      {
        [oauth.allowInsecureRequests]: isLoopback(new URL(endpoint).hostname),
        [oauth.customFetch]: (url, init) => fetchWithin(source, url, init as RequestInit),
        signal: () => AbortSignal.timeout(limits.oidcFetchTimeoutMs),
      },
    );
    const given = await oauth.processAuthorizationCodeResponse(server, client, response, {
      expectedNonce: grant.nonce,
    });
    const token = tokenFor([given.access_token, given.id_token], audience);
    if (token !== undefined) return token;
  } catch (error) {
    throw issuerError(error);
  }
  throw new AppError(
    "invalid_request",
    "the OIDC issuer gave no token for this node: correct `oidc.audience` or `oidc.scopes`, or the client at the issuer",
  );
}

/** A redirect could lead into the network of this node, and a large response could fill its memory. */
async function fetchWithin({ fetch, limits }: IssuerSource, url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, { ...init, redirect: "manual" });
  const { status, headers } = response;
  return new Response(await textOf(response, url, limits.oidcResponseBytesMax), { status, headers });
}

function issuerError(error: unknown): AppError {
  const isRefusal = error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError;
  const reason = isRefusal ? [error.error, error.error_description ?? ""].join(" ").trim() : reasonOf(error);
  const isAnswer = isRefusal || error instanceof oauth.OperationProcessingError;
  const message = `the OIDC issuer gives no token: \`${clip(printable(reason), 200)}\``;
  return new AppError(isAnswer ? "invalid_request" : "not_ready", message, { cause: error });
}
