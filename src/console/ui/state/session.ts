/**
 * Who uses the console in this tab: one login for each environment, and which of them is shown. Keys are kept in the
 * session storage of the tab: a reload keeps them, other tabs do not have them, and closing the tab removes them.
 */
import { ApiError, callNode, type CallOptions, type Credential, openNode, type OpenOptions } from "../api/node-api.ts";
import type { Role, Whoami } from "../api/responses.ts";
import { Store } from "../store.ts";

export interface Login extends Credential {
  readonly who: Whoami;
}

export interface Session {
  readonly logins: readonly Login[];
  /** The environment that is shown. */
  readonly environment: string;
}

const storageKey = "ostiary-session";

export const session = new Store<Session | undefined>(storedSession());
session.subscribe((value) => {
  if (value === undefined) sessionStorage.removeItem(storageKey);
  else sessionStorage.setItem(storageKey, JSON.stringify(value));
});

/** Why somebody was logged out; undefined if they did it themselves. */
export const logoutReason = new Store<string | undefined>(undefined);

/** Asks the node whose key or token this is, and shows its environment. Throws ApiError, NoAnswerError. */
export async function logIn(credential: Credential): Promise<void> {
  const who = (await callNode(credential, "/api/whoami")) as Whoami;
  const isPerson = who.kind === "person";
  const login = { token: credential.token, who, ...(isPerson && { environment: who.environment }) };
  const others = (session.value?.logins ?? []).filter((each) => each.who.environment !== who.environment);
  logoutReason.set(undefined);
  session.set({ logins: [...others, login], environment: who.environment });
}

/** Ends the login of the shown environment, and shows another one if there is one. */
export function logOut(reason?: string): void {
  const shown = session.value?.environment;
  const logins = (session.value?.logins ?? []).filter(({ who }) => who.environment !== shown);
  logoutReason.set(reason);
  const [next] = logins;
  session.set(next === undefined ? undefined : { logins, environment: next.who.environment });
}

/** Shows an environment in which this tab is logged in. */
export function showEnvironment(environment: string): void {
  if (session.value !== undefined) session.set({ ...session.value, environment });
}

/** The login of the shown environment. */
export function currentLogin(value = session.value): Login | undefined {
  return value?.logins.find(({ who }) => who.environment === value.environment);
}

/** As `callNode`, with the current login. Ends the login if the node does not accept it any more. */
export function call(path: string, options?: CallOptions): Promise<unknown> {
  return asCurrent((login) => callNode(login, path, options));
}

/** As `openNode`, in the same way. */
export function open(path: string, options: OpenOptions): Promise<Response> {
  return asCurrent((login) => openNode(login, path, options));
}

async function asCurrent<T>(request: (login: Login | undefined) => Promise<T>): Promise<T> {
  const login = currentLogin();
  try {
    return await request(login);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401 && login === currentLogin()) logOut(error.message);
    throw error;
  }
}

const ranks: Readonly<Record<Role, number>> = { read: 1, write: 2, admin: 3 };

/** Whether a login may do what needs `role`. The node decides; this hides controls that it would refuse. */
export function may(login: Login | undefined, role: Role): boolean {
  return login !== undefined && ranks[login.who.role] >= ranks[role];
}

function storedSession(): Session | undefined {
  try {
    const stored = JSON.parse(sessionStorage.getItem(storageKey) ?? "null") as Session | null;
    return stored ?? undefined;
  } catch {
    return undefined;
  }
}
