/**
 * A login in the browser of this machine: the authorization code grant with PKCE (RFC 7636), whose answer arrives at a
 * loopback address (RFC 8252).
 */
import { spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import * as oauth from "oauth4webapi";
import { isSafeUrl } from "../../http/oidc/issuer-documents.ts";
import { printError } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { atIssuer, type IssuerClient } from "./issuer-client.ts";

/** How long the user can take. */
const waitMsMax = 300_000;

/** Whether this machine can show a web page to the user: not over SSH, and not without a desktop. */
export function hasBrowser(): boolean {
  const { BROWSER: browser, DISPLAY: x11, WAYLAND_DISPLAY: wayland, SSH_CONNECTION: ssh } = process.env;
  if (browser) return true;
  if (ssh) return false;
  return process.platform === "darwin" || process.platform === "win32" || Boolean(x11) || Boolean(wayland);
}

/** Returns the tokens. AppError if the user or the issuer refuses, or after five minutes. */
export async function logInWithBrowser(
  { server, client, authentication, options }: IssuerClient,
  scopes: string,
): Promise<oauth.TokenEndpointResponse> {
  const page = server.authorization_endpoint;
  // The browser would also open files and programs.
  if (page === undefined || !isSafeUrl(page, server.issuer))
    throw new AppError("invalid_request", `the issuer ${server.issuer} has no login in a browser, try \`--device\``);
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const callback = await listenForCallback(state);
  try {
    const url = new URL(page);
    const parameters = {
      client_id: client.client_id,
      response_type: "code",
      redirect_uri: callback.url,
      scope: scopes,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      nonce,
      // OpenID Connect Core (11): without it the issuer gives no refresh token.
      ...(scopes.split(" ").includes("offline_access") && { prompt: "consent" }),
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    await printError(`log in at ${printable(url.href)}\n`);
    openBrowser(url.href);
    const answer = await callback.answer;
    return await atIssuer(server.issuer, async () => {
      const code = oauth.validateAuthResponse(server, client, answer, state);
      const response = await oauth.authorizationCodeGrantRequest(
        ...([server, client, authentication, code, callback.url, verifier, options] as const),
      );
      return oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce });
    });
  } finally {
    callback.close();
  }
}

interface Callback {
  readonly url: string;
  /** The parameters of the first request with the right `state`. */
  readonly answer: Promise<URLSearchParams>;
  close(): void;
}

async function listenForCallback(state: string): Promise<Callback> {
  const { promise: answer, resolve, reject } = Promise.withResolvers<URLSearchParams>();
  const listener: Server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://127.0.0.1");
    // Every page in the browser can send requests to this address.
    const isAnswer = request.method === "GET" && pathname === path && searchParams.get("state") === state;
    response.writeHead(isAnswer ? 200 : 404, pageHeaders);
    response.end(isAnswer ? "Close this page and return to the terminal.\n" : "There is nothing here.\n");
    if (isAnswer) resolve(searchParams);
  });
  await new Promise<void>((listening, failed) => {
    listener.once("error", failed);
    listener.listen(0, "127.0.0.1", listening);
  });
  const timer = setTimeout(
    () => reject(new AppError("request_timeout", "nobody logged in within five minutes, try again")),
    waitMsMax,
  );
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}${path}`,
    answer,
    close() {
      clearTimeout(timer);
      listener.close();
      listener.closeAllConnections();
    },
  };
}

const path = "/callback";
const pageHeaders = {
  "Content-Type": "text/plain; charset=utf-8",
  "Cache-Control": "no-store",
  "Referrer-Policy": "no-referrer",
  Connection: "close",
};

/** The user has the URL in the terminal too, so a browser that cannot be started is no error. */
function openBrowser(url: string): void {
  const [command, ...parameters] = browserCommand();
  try {
    const browser = spawn(command, [...parameters, url], { stdio: "ignore", detached: true });
    browser.on("error", () => {});
    browser.unref();
  } catch {
    return;
  }
}

function browserCommand(): readonly [string, ...string[]] {
  const { BROWSER: chosen } = process.env;
  if (chosen) return [chosen];
  if (process.platform === "darwin") return ["open"];
  return process.platform === "win32" ? ["rundll32", "url.dll,FileProtocolHandler"] : ["xdg-open"];
}
