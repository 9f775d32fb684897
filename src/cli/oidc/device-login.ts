/** A login with another device: the device authorization grant (RFC 8628). The user enters a code in any browser. */
import { setTimeout as sleep } from "node:timers/promises";
import * as oauth from "oauth4webapi";
import { printError } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { atIssuer, type IssuerClient } from "./issuer-client.ts";

/** RFC 8628 (3.2 and 3.5): the pause between two polls by default, and how much `slow_down` adds to it. */
const pauseSecondsDefault = 5;
const slowDownSeconds = 5;
/** Also if the issuer says more. */
const waitSecondsMax = 1800;

/** Returns the tokens. AppError if the user or the issuer refuses, or when the code has expired. */
export async function logInWithDevice(
  { server, client, authentication, options }: IssuerClient,
  scopes: string,
): Promise<oauth.TokenEndpointResponse> {
  if (server.device_authorization_endpoint === undefined)
    throw new AppError(
      "invalid_request",
      `the issuer ${server.issuer} has no login with a code, log in on a machine with a browser`,
    );
  const issued = await atIssuer(server.issuer, async () => {
    const response = await oauth.deviceAuthorizationRequest(server, client, authentication, { scope: scopes }, options);
    return oauth.processDeviceAuthorizationResponse(server, client, response);
  });
  const { verification_uri: page, verification_uri_complete: direct, user_code: code } = issued;
  await printError(`open ${printable(page)} in a browser and enter the code ${printable(code)}\n`);
  if (direct !== undefined) await printError(`or open ${printable(direct)}\n`);
  let pauseSeconds = issued.interval ?? pauseSecondsDefault;
  const endMs = performance.now() + 1000 * Math.min(issued.expires_in, waitSecondsMax);
  while (performance.now() < endMs) {
    await sleep(1000 * pauseSeconds);
    const outcome = await atIssuer(server.issuer, async () => {
      const response = await oauth.deviceCodeGrantRequest(server, client, authentication, issued.device_code, options);
      return oauth.processDeviceCodeResponse(server, client, response).catch(pendingOf);
    });
    if (typeof outcome !== "string") return outcome;
    if (outcome === "slow_down") pauseSeconds += slowDownSeconds;
  }
  throw new AppError("request_timeout", "the code has expired before it was entered, try again");
}

/** The answer of an issuer that waits for the user. */
function pendingOf(error: unknown): "authorization_pending" | "slow_down" {
  const code = error instanceof oauth.ResponseBodyError ? error.error : undefined;
  if (code === "authorization_pending" || code === "slow_down") return code;
  throw error;
}
