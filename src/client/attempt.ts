/**
 * One request to one node, with a time limit, and its answer read to the end: a node that dies half way through an answer has failed like one
 * that never began, and whoever gets the answer can't be disappointed any more.
 */

/** `fetch`, as far as it is used here. The official client has one of its own (`node-fetch` on Node), so it is not taken from the platform. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface RequestAttempt {
  readonly answer: Promise<Response>;
  /** Ends the request where it is; nobody waits for its answer any more. */
  abort(): void;
}

/** No node answered, or one did not in time. */
export class NoAnswerError extends Error {
  /** That of Node's network errors: the official client decides by it whether to ask the fallback that it was itself told of. */
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
  const answer = Promise.race([whole(), late]).finally(() => {
    clearTimeout(timer);
    init.signal?.removeEventListener("abort", abort);
  });
  return { answer, abort };
}

/** Such an answer must not have a body, not even an empty one. */
const withoutBody = new Set([204, 205, 304]);

async function readWhole(answer: Response): Promise<Response> {
  const bytes = await answer.arrayBuffer();
  const headers = new Headers();
  answer.headers.forEach((value, name) => headers.append(name, value));
  const { status, statusText } = answer;
  return new Response(withoutBody.has(status) ? null : bytes, { status, statusText, headers });
}

/** Whether nobody was there to take the request, so that it was not even sent. In doubt it was. */
export function neverSent(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && beforeSending.has(code);
}

const beforeSending = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"]);

/** The code of a network error: on the error itself (`node-fetch`, Bun), or on its cause (`fetch` of Node). */
export function codeOf(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { readonly code?: unknown; readonly cause?: unknown };
  if (typeof code === "string") return code;
  return cause === undefined ? undefined : codeOf(cause);
}
