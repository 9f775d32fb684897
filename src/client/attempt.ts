/**
 * One request to one node, with a time limit. The response is read to its end, so that a node that dies in the middle
 * of a response has failed like a node that never answered.
 */

/** The part of `fetch` that is used here. The official client has its own `fetch` (`node-fetch` on Node). */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface RequestAttempt {
  readonly response: Promise<Response>;
  /** Aborts the request. */
  abort(): void;
}

/** No node answered in time. */
export class NoAnswerError extends Error {
  /** The code of a network error of Node. The official client uses it to decide whether to ask its own fallback. */
  readonly code: string | undefined;

  constructor(message: string, code: string | undefined, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "NoAnswerError";
    this.code = code;
  }
}

export function attempt(fetch: Fetch, url: string, init: RequestInit, timeoutMs: number): RequestAttempt {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new NoAnswerError(`no answer within ${timeoutMs} ms`, "ETIMEDOUT"));
      controller.abort();
    }, timeoutMs);
  });
  const whole = async (): Promise<Response> => readWhole(await fetch(url, { ...init, signal: controller.signal }));
  const abort = (): void => {
    clearTimeout(timer);
    controller.abort();
  };
  if (init.signal?.aborted === true) abort();
  init.signal?.addEventListener("abort", abort);
  const response = Promise.race([whole(), late]).finally(() => {
    clearTimeout(timer);
    init.signal?.removeEventListener("abort", abort);
  });
  return { response, abort };
}

/** Responses with these statuses must not have a body, not even an empty one. */
const withoutBody = new Set([204, 205, 304]);

async function readWhole(streamed: Response): Promise<Response> {
  const bytes = await streamed.arrayBuffer();
  const headers = new Headers();
  streamed.headers.forEach((value, name) => headers.append(name, value));
  const { status, statusText } = streamed;
  return new Response(withoutBody.has(status) ? null : bytes, { status, statusText, headers });
}

/** Whether the request was certainly not sent, because no connection was possible. */
export function neverSent(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined) return beforeSending.has(code);
  const { cause } = (error ?? {}) as { readonly cause?: { readonly message?: unknown } };
  return String(cause?.message).includes(connectFailed);
}

/** In the message of an implementation of `fetch` without codes, if it could not connect. */
const connectFailed = "client error (Connect)";

const beforeSending = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"]);

/** The code of a network error: on the error itself or on its cause, as the implementation of `fetch` has it. */
export function codeOf(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { readonly code?: unknown; readonly cause?: unknown };
  if (typeof code === "string") return code;
  return cause === undefined ? undefined : codeOf(cause);
}
