/**
 * The login of a person at the OIDC issuer of the node: the authorization code grant with PKCE (RFC 7636). The page goes
 * to the issuer, comes back with a code, and the node exchanges it for a token.
 */
import { callNode, type Credential } from "../api/node-api.ts";
import type { IssuerOfNode } from "../api/responses.ts";
import { randomText } from "../api/random-text.ts";
import { loginTexts } from "../texts/login.ts";

/** Kept in the tab while the page is away. */
interface PendingLogin {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly environment: string | undefined;
  /** The screen that was open. */
  readonly route: string;
}

const storageKey = "ostiary-issuer-login";

/** The address of the console, which has to be registered at the issuer. */
function redirectUri(): string {
  return location.origin + location.pathname;
}

/** Goes to the page of the issuer. */
export async function startIssuerLogin(issuer: IssuerOfNode, environment: string | undefined): Promise<void> {
  const url = new URL(issuer.authorization_endpoint ?? "");
  // The page would run any other address as a script.
  if (!/^https?:$/.test(url.protocol) || issuer.client_id === null) return;
  const [state, nonce, verifier] = [randomText(), randomText(), randomText()];
  const pending: PendingLogin = { state, nonce, verifier, environment, route: location.hash };
  sessionStorage.setItem(storageKey, JSON.stringify(pending));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const parameters = {
    client_id: issuer.client_id,
    response_type: "code",
    redirect_uri: redirectUri(),
    // A refresh token would outlive the tab.
    scope: issuer.scopes
      .split(" ")
      .filter((scope) => scope !== "offline_access")
      .join(" "),
    code_challenge: base64Url(new Uint8Array(digest)),
    code_challenge_method: "S256",
    state,
    nonce,
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

/**
 * Exchanges the answer of the issuer for a token. Throws an error with the reason of the issuer, or if this tab did not
 * begin the login.
 */
export async function finishIssuerLogin(
  answer: URLSearchParams,
): Promise<{ readonly credential: Credential; readonly route: string }> {
  const pending = JSON.parse(sessionStorage.getItem(storageKey) ?? "null") as PendingLogin | null;
  sessionStorage.removeItem(storageKey);
  if (pending === null || answer.get("state") !== pending.state) throw new Error(loginTexts.foreignAnswer);
  const refusal = answer.get("error");
  if (refusal !== null) throw new Error(loginTexts.refused(answer.get("error_description") ?? refusal));
  const iss = answer.get("iss");
  const body = {
    code: answer.get("code"),
    code_verifier: pending.verifier,
    redirect_uri: redirectUri(),
    nonce: pending.nonce,
    ...(iss !== null && { iss }),
  };
  const { token } = (await callNode(undefined, "/api/login/token", { method: "POST", body })) as Credential;
  return { credential: { token, environment: pending.environment }, route: pending.route };
}

function base64Url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
