/** The present token of a stored login. A token that is about to expire is replaced with the refresh token. */
import * as oauth from "oauth4webapi";
import { AppError } from "../../util/app-error.ts";
import { atIssuer, connectIssuer, loginFrom } from "./issuer-client.ts";
import { type Login, readLogins, withLockedLogins, writeLogin } from "./stored-logins.ts";

/** A token that is valid for less time is replaced: the request takes some time, and clocks differ. */
const remainingMsMin = 30_000;

/** AppError if the login has expired, or if the issuer gives no new token. */
export async function currentToken(url: string): Promise<string> {
  const stored = readLogins()[url];
  if (stored !== undefined && isFresh(stored)) return stored.token;
  // The issuer accepts a refresh token once, and may end the login if two processes use it.
  return withLockedLogins(async () => {
    const current = readLogins()[url];
    if (current === undefined) throw new AppError("unauthorized", `you are not logged in to ${url} any more`);
    if (isFresh(current)) return current.token;
    const renewed = await renew(url, current);
    writeLogin(url, renewed);
    return renewed.token;
  });
}

function isFresh({ expiresMs }: Login): boolean {
  return expiresMs - Date.now() > remainingMsMin;
}

async function renew(url: string, current: Login): Promise<Login> {
  const { issuer, refreshToken } = current;
  const expired = (cause?: unknown): AppError =>
    new AppError("unauthorized", `your login to ${url} has expired, run \`ostiary login --url ${url}\` again`, {
      cause,
    });
  if (refreshToken === undefined) throw expired();
  const { server, client, authentication, options } = await connectIssuer(current);
  return atIssuer(issuer, async () => {
    const response = await oauth.refreshTokenGrantRequest(server, client, authentication, refreshToken, options);
    const given = await oauth.processRefreshTokenResponse(server, client, response).catch((error: unknown) => {
      throw error instanceof oauth.ResponseBodyError && error.error === "invalid_grant" ? expired(error) : error;
    });
    return loginFrom(current, given, current);
  });
}

/** Ends a login at the issuer, as far as it can: without an end point for that, the tokens stay valid until they expire. */
export async function revoke(current: Login): Promise<void> {
  const { server, client, authentication, options } = await connectIssuer(current);
  if (server.revocation_endpoint === undefined || current.refreshToken === undefined) return;
  const response = await oauth.revocationRequest(server, client, authentication, current.refreshToken, options);
  await oauth.processRevocationResponse(response);
}
