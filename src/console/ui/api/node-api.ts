/**
 * Requests to the node that served the page. A read is repeated while the node is away, so that a restart or a promotion
 * only delays it. A write is repeated under one id, so that it is done once, unless the node would not notice that.
 */
import { consoleRequestPrefix } from "../../../util/console-requests.ts";
import { Store } from "../store.ts";
import { NodeWatch } from "./node-watch.ts";
import { randomText } from "./random-text.ts";

/** An API key, or the token of a person together with an environment. */
export interface Credential {
  readonly token: string;
  readonly environment?: string | undefined;
}

export interface CallOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** How long the node may take for each attempt. */
  readonly timeoutMs?: number;
  /** How often a temporary failure is tried, the first attempt included. */
  readonly triesMax?: number;
  /** Is called with what the node says beside the body: which names of the question its policy does not have. */
  readonly onHint?: (hint: string) => void;
  /** Also returns the body of a 503, as `/healthcheck` answers of a node that is not ready. */
  readonly acceptsNotReady?: boolean;
}

/** A response that refuses a request, with the message of the node. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The node did not answer at all. */
export class NoAnswerError extends Error {}

/** Since when the node gives no answer; undefined while it does. */
export const silentSinceMs = new Store<number | undefined>(undefined);

const watch = new NodeWatch(isAlive, Date.now, (sinceMs) => silentSinceMs.set(sinceMs));

/** Calls `listener` each time the node answers again after an outage, until the result is called. */
export function onReturn(listener: () => void): () => void {
  return silentSinceMs.subscribe((sinceMs) => {
    if (sinceMs === undefined) listener();
  });
}

const probeTimeoutMs = 3000;
const triesDefault = 4;
const timeoutDefaultMs = 30_000;
const delayMsMax = 5000;
const temporary: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/** Changes that the node would do twice, whatever their request id. */
const unrepeatable = /^\/api\/(?:keys|environments|promote|login)\b/;

/** The page is at `<prefix>/console/`, the API below `<prefix>/`. */
const base = new URL("../", location.href.replace(/#.*/s, ""));

/**
 * Returns the JSON of the response, or its text if it is no JSON. Throws ApiError, NoAnswerError, or the reason of the
 * aborted signal.
 */
export async function callNode(
  credential: Credential | undefined,
  path: string,
  options: CallOptions = {},
): Promise<unknown> {
  const { method = "GET", body, signal, onHint, acceptsNotReady = false } = options;
  const { timeoutMs = timeoutDefaultMs, triesMax = triesDefault } = options;
  const headers = {
    ...credentialHeaders(credential),
    ...(body !== undefined && { "Content-Type": "application/json" }),
    "X-Request-ID": consoleRequestPrefix + randomText(),
  };
  for (let tries = 1; ; tries++) {
    const response = await send(signal, urlOf(path), {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])]),
      ...sentAlways,
    });
    signal?.throwIfAborted();
    if (response?.ok === true || (response?.status === 503 && acceptsNotReady)) {
      const hint = response.headers.get("ostiary-hint");
      if (hint !== null) onHint?.(decodeURIComponent(hint));
      return contentOf(response);
    }
    const isFinal = response !== undefined && !temporary.has(response.status);
    const mayRepeat = method === "GET" || !unrepeatable.test(path);
    if (isFinal || !mayRepeat || tries === triesMax)
      throw response === undefined ? new NoAnswerError() : await errorOf(response);
    await delay(Math.max(retryAfterMs(response), 250 * 2 ** tries), signal);
  }
}

/**
 * A response whose body the caller reads: a stream, or a file. It may take any time, until `signal` ends it. Throws
 * ApiError, NoAnswerError, or the reason of the aborted signal.
 */
export async function openNode(
  credential: Credential | undefined,
  path: string,
  { accept, signal, lastEventId, body }: OpenOptions,
): Promise<Response> {
  const headers = {
    ...credentialHeaders(credential),
    Accept: accept,
    ...(body !== undefined && { "Content-Type": "application/json" }),
    ...(lastEventId !== undefined && { "Last-Event-ID": lastEventId }),
    "X-Request-ID": consoleRequestPrefix + randomText(),
  };
  const sent = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await send(signal, urlOf(path), { headers, signal, ...sent, ...sentAlways });
  signal.throwIfAborted();
  if (response === undefined) throw new NoAnswerError();
  if (!response.ok) throw await errorOf(response);
  return response;
}

export interface OpenOptions {
  /** The media type. */
  readonly accept: string;
  readonly signal: AbortSignal;
  /** Is sent with POST. */
  readonly body?: unknown;
  /** Continues a stream behind this event. */
  readonly lastEventId?: string | undefined;
}

/** Whether the same request may succeed a little later. */
export function isTemporary(error: unknown): boolean {
  return error instanceof NoAnswerError || (error instanceof ApiError && temporary.has(error.status));
}

/** The key is the only proof of who asks. A redirect must not carry it elsewhere. */
const sentAlways = { credentials: "omit", redirect: "error", cache: "no-store" } as const;

function credentialHeaders(credential: Credential | undefined): Record<string, string> {
  return {
    ...(credential !== undefined && { Authorization: `Bearer ${credential.token}` }),
    ...(credential?.environment !== undefined && { "Ostiary-Environment": credential.environment }),
  };
}

function urlOf(path: string): URL {
  return new URL(path.replace(/^\//, ""), base);
}

/** Statuses that a proxy sends while the node is away. */
const ofGateway: ReadonlySet<number> = new Set([502, 503, 504]);

/** Undefined if there is no answer. */
async function send(signal: AbortSignal | undefined, url: URL, init: RequestInit): Promise<Response | undefined> {
  const end = watch.begin();
  try {
    const response = await fetch(url, init);
    if (ofGateway.has(response.status)) void checkNode();
    else watch.noteAnswer();
    return response;
  } catch {
    // An aborted request says nothing about the node.
    if (signal?.aborted !== true) void checkNode();
    return undefined;
  } finally {
    end();
  }
}

/** Asks the node for a sign of life. Then `silentSinceMs` is up to date. */
export const checkNode = (): Promise<void> => watch.checkNow();

/** Keeps `silentSinceMs` up to date while the tab is shown, whatever the screen asks. */
export function watchNode(): void {
  setInterval(() => document.hidden || void watch.check(), 500);
  const checkNow = (): void => void (document.hidden || checkNode());
  document.addEventListener("visibilitychange", checkNow);
  addEventListener("online", checkNow);
}

async function isAlive(): Promise<boolean> {
  try {
    const response = await fetch(urlOf("/livez"), { signal: AbortSignal.timeout(probeTimeoutMs), ...sentAlways });
    return response.ok;
  } catch {
    return false;
  }
}

async function contentOf(response: Response): Promise<unknown> {
  const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
  return isJson ? response.json() : response.text();
}

async function errorOf(response: Response): Promise<ApiError> {
  const answer = (await response.json().catch(() => ({}))) as { readonly message?: string; readonly code?: string };
  return new ApiError(
    response.status,
    answer.code ?? "",
    answer.message ?? `${response.status} ${response.statusText}`,
  );
}

function retryAfterMs(response: Response | undefined): number {
  return Math.min(delayMsMax, 1000 * (Number(response?.headers.get("retry-after")) || 0));
}

/** Throws the reason of the signal if it is aborted. */
function delay(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.min(ms, delayMsMax));
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      },
      { once: true },
    );
  });
}
