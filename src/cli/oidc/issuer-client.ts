/** The client of an OIDC issuer: discovery, tokens, and which of them a node accepts. */
import { decodeJwt } from "jose";
import * as oauth from "oauth4webapi";
import { isLoopback, isSafeUrl } from "../../http/oidc/issuer-documents.ts";
import { tokenFor } from "../../http/oidc/token-audience.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { connectionProblem, reasonOf } from "../../util/reason.ts";
import type { Login } from "./stored-logins.ts";

export interface LoginTarget {
  readonly issuer: string;
  readonly clientId: string;
  readonly scopes: string;
  readonly audience: readonly string[];
}

/** An issuer whose endpoints are known. */
export interface IssuerClient {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  readonly authentication: oauth.ClientAuth;
  readonly options: RequestOptions;
}

interface RequestOptions {
  readonly [oauth.allowInsecureRequests]: boolean;
  readonly signal: () => AbortSignal;
}

const timeoutMs = 15_000;

/** AppError if the issuer does not answer, or is not as expected. */
export async function connectIssuer({
  issuer,
  clientId,
}: Pick<LoginTarget, "issuer" | "clientId">): Promise<IssuerClient> {
  if (!isSafeUrl(issuer, issuer))
    throw new AppError("invalid_request", `the issuer \`${printable(issuer)}\` has no HTTPS URL, so it is not asked`);
  const url = new URL(issuer);
  const options = {
    [oauth.allowInsecureRequests]: url.protocol === "http:" && isLoopback(url.hostname),
    signal: () => AbortSignal.timeout(timeoutMs),
  };
  return atIssuer(issuer, async () => {
    const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, options));
    return { server, client: { client_id: clientId }, authentication: oauth.None(), options };
  });
}

/**
 * Turns errors of the requests in `body` into AppErrors with the issuer's reason: `not_ready` if it does not answer. They
 * have no tokens.
 */
export async function atIssuer<T>(issuer: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof AppError) throw error;
    const problem = connectionProblem(error) ?? (isTimeout(error) ? "it does not answer" : undefined);
    const reason = problem ?? issuerReason(error) ?? reasonOf(error);
    const message = `the issuer ${printable(issuer)} gives no token: ${printable(reason)}`;
    throw new AppError(problem === undefined ? "invalid_request" : "not_ready", message, { cause: error });
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === "TimeoutError";
}

function issuerReason(error: unknown): string | undefined {
  if (!(error instanceof oauth.ResponseBodyError || error instanceof oauth.AuthorizationResponseError))
    return undefined;
  const { error: code, error_description: description } = error;
  return description === undefined ? code : `${code}, ${description}`;
}

/** The login with the token that the node accepts. AppError if the issuer gave none for this node. */
export function loginFrom(
  target: Omit<LoginTarget, "scopes">,
  given: oauth.TokenEndpointResponse,
  before?: Login,
): Login {
  const { issuer, clientId, audience } = target;
  const token = tokenFor([given.access_token, given.id_token], audience);
  if (token === undefined)
    throw new AppError(
      "invalid_request",
      `the issuer gave no token for this node: neither the access token nor the ID token has ${audience.map((each) => `\`${printable(each)}\``).join(" or ")} in \`aud\`; correct \`oidc.audience\` or \`oidc.scopes\` of the node, or the client at the issuer`,
    );
  const refreshToken = given.refresh_token ?? before?.refreshToken;
  const { exp = 0 } = decodeJwt(token);
  return {
    ...{ issuer, clientId, audience: [...audience], token, expiresMs: exp * 1000 },
    ...(refreshToken !== undefined && { refreshToken }),
  };
}
