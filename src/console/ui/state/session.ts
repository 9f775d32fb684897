/**
 * Who uses the console in this tab: one login for each environment, and which of them is shown. Keys are kept in the
 * session storage of the tab: a reload keeps them, other tabs do not have them, and closing the tab removes them.
 */
import { ApiError, callNode, type CallOptions, type Credential, openNode, type OpenOptions } from "../api/node-api.ts";
import type { Role, Whoami } from "../api/responses.ts";
import { Store } from "../store.ts";
import { routeTo } from "./route.ts";

export interface Login extends Credential {
  readonly who: Whoami;
}

/**
 * A login that the node does not accept any more. Its environment and its screen stay, with what was typed there, but
 * nothing is sent, least of all to another environment.
 */
export interface LostLogin {
  readonly who: Whoami;
  /** What the node said. */
  readonly reason: string;
}

export interface Session {
  readonly logins: readonly Login[];
  /** The environment that is shown. */
  readonly environment: string;
  /** Set instead of a login of the shown environment. */
  readonly lost?: LostLogin | undefined;
}

/** The credential is for another environment than the one that is asked for. */
export class WrongEnvironmentError extends Error {
  readonly environment: string;

  constructor(environment: string) {
    super(`the credential is for the environment ${environment}`);
    this.environment = environment;
  }
}

const storageKey = "ostiary-session";

export const session = new Store<Session | undefined>(storedSession());
session.subscribe((value) => {
  if (value === undefined) sessionStorage.removeItem(storageKey);
  else keep(JSON.stringify(value));
});

/** Drafts share the space of the storage, and stay in memory without it. */
function keep(value: string): void {
  try {
    sessionStorage.setItem(storageKey, value);
  } catch {
    sessionStorage.clear();
    sessionStorage.setItem(storageKey, value);
  }
}

/**
 * Asks the node whose key or token this is, and shows its environment, which has to be `only` if that is given. Throws
 * ApiError, NoAnswerError, WrongEnvironmentError.
 */
export async function logIn(credential: Credential, only?: string): Promise<void> {
  const who = (await callNode(credential, "/api/whoami")) as Whoami;
  if (only !== undefined && who.environment !== only) throw new WrongEnvironmentError(who.environment);
  // Meanwhile somebody may have left the environment.
  if (only !== undefined && session.value?.lost?.who.environment !== only) return;
  const isPerson = who.kind === "person";
  const login = { token: credential.token, who, ...(isPerson && { environment: who.environment }) };
  const others = (session.value?.logins ?? []).filter((each) => each.who.environment !== who.environment);
  session.set({ logins: [...others, login], environment: who.environment });
}

/** Where a draft of the policy is kept for the environment, in the session storage. */
export const draftKey = (environment: string): string => `ostiary-draft ${environment}`;

/** Ends the login of the shown environment, and removes its drafts. Shows the first screen of another one, if there is one. */
export function logOut(): void {
  const logins = otherLogins();
  const [next] = logins;
  sessionStorage.removeItem(draftKey(session.value?.environment ?? ""));
  location.hash = routeTo("");
  session.set(next === undefined ? undefined : { logins, environment: next.who.environment });
}

/** Shows the first screen of an environment in which this tab is logged in, or the same screen if no login is lost. */
export function showEnvironment(environment: string): void {
  if (session.value?.lost !== undefined) location.hash = routeTo("");
  if (session.value !== undefined) session.set({ logins: session.value.logins, environment });
}

/** The logins of the environments that are not shown. */
export function otherLogins(value = session.value): readonly Login[] {
  return (value?.logins ?? []).filter(({ who }) => who.environment !== value?.environment);
}

/** The login of the shown environment. */
export function currentLogin(value = session.value): Login | undefined {
  return value?.logins.find(({ who }) => who.environment === value.environment);
}

/** The current login, or the lost one, which has no token. */
export function shownLogin(value = session.value): Login | undefined {
  return currentLogin(value) ?? (value?.lost && { token: "", who: value.lost.who });
}

/**
 * As `callNode`, with the current login. The login is lost if the node does not accept it any more. Then a read waits for
 * the next login in its environment, and a change is refused, since another person may log in.
 */
export function call(path: string, options: CallOptions = {}): Promise<unknown> {
  const isRead = (options.method ?? "GET") === "GET";
  return asCurrent((login) => callNode(login, path, options), isRead, options.signal);
}

/** As `openNode`, in the same way. */
export function open(path: string, options: OpenOptions): Promise<Response> {
  return asCurrent((login) => openNode(login, path, options), options.body === undefined, options.signal);
}

async function asCurrent<T>(
  request: (login: Login | undefined) => Promise<T>,
  isRead: boolean,
  signal: AbortSignal | undefined,
): Promise<T> {
  const environment = session.value?.environment;
  for (;;) {
    const login = currentLogin();
    try {
      if (session.value?.lost !== undefined) throw new ApiError(401, "unauthorized", session.value.lost.reason);
      return await request(login);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      if (login !== undefined && login === currentLogin()) lose(login, error.message);
      const isOver = session.value?.lost === undefined && login === currentLogin();
      if (!isRead || isOver) throw error;
      await nextLogin(signal);
      if (session.value?.environment !== environment) throw error;
    }
  }
}

function lose({ who }: Login, reason: string): void {
  session.set({ logins: otherLogins(), environment: who.environment, lost: { who, reason } });
}

/** Resolves when no login is lost any more. Rejects with the reason of the aborted signal. */
function nextLogin(signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  if (session.value?.lost === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const end = session.subscribe((value) => {
      if (value?.lost !== undefined) return;
      end();
      resolve();
    });
    signal?.addEventListener("abort", () => {
      end();
      reject(signal.reason as Error);
    });
  });
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
