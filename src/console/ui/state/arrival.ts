/**
 * A login that the address of the page brings: the one-time code of `ostiary dev`, or the answer of the OIDC issuer. It
 * is taken out of the address first, so that neither the history nor a copied link has it.
 */
import { callNode, type Credential } from "../api/node-api.ts";
import { messageOf } from "../api/error-text.ts";
import { Store } from "../store.ts";
import { loginTexts } from "../texts/login.ts";
import { isEmptyEnvironment } from "./environment-content.ts";
import { finishIssuerLogin } from "./issuer-login.ts";
import { currentRoute, parseRoute, routeTo } from "./route.ts";
import { call, logIn } from "./session.ts";

/** Whether such a login is under way. */
export const isArriving = new Store(false);
/** Why such a login failed. */
export const arrivalProblem = new Store<string | undefined>(undefined);

/** Logs in with what the address brings. Without that it does nothing. Never rejects. */
export async function arrive(): Promise<void> {
  const exchange = exchangeOf(location.search, location.hash);
  if (exchange === undefined) return;
  history.replaceState(null, "", location.pathname + routeTo(""));
  isArriving.set(true);
  try {
    const { credential, routeOf } = await exchange();
    await logIn(credential);
    const route = await routeOf();
    history.replaceState(null, "", location.pathname + route);
    // The browser does not say so.
    currentRoute.set(parseRoute(route));
  } catch (error) {
    arrivalProblem.set(messageOf(error, loginTexts.noAnswer));
  } finally {
    isArriving.set(false);
  }
}

interface Arrival {
  readonly credential: Credential;
  /** Resolves to the address of the screen to show. */
  readonly routeOf: () => Promise<string>;
}

function exchangeOf(search: string, fragment: string): (() => Promise<Arrival>) | undefined {
  const {
    screen,
    parts: [code],
  } = parseRoute(fragment);
  if (screen === "login" && code !== undefined) return () => redeem(code);
  const answer = new URLSearchParams(search);
  return answer.has("state") && (answer.has("code") || answer.has("error"))
    ? async () => {
        const { credential, route } = await finishIssuerLogin(answer);
        return { credential, routeOf: () => Promise.resolve(route) };
      }
    : undefined;
}

async function redeem(code: string): Promise<Arrival> {
  const { token } = (await callNode(undefined, "/api/login/code", { method: "POST", body: { code } })) as Credential;
  return { credential: { token }, routeOf: firstRoute };
}

/** Samples for an empty environment. Never rejects. */
async function firstRoute(): Promise<string> {
  try {
    return routeTo((await isEmptyEnvironment(call)) ? "start" : "");
  } catch {
    return routeTo("");
  }
}
