/**
 * Client-side redundancy for the option `fetchBuilder` of the official client: reads are sent to several nodes and the
 * first good response wins, so no read fails if a node dies, freezes or restarts. A load balancer is not needed, and
 * could not do the same: it would not repeat a request that was sent to a node that died.
 *
 * Writes go to one node, once. The order of writes matters, and a write without a response may have been executed, so
 * the application has to decide whether to repeat it. A write goes to the next node only if it certainly was not sent.
 *
 * This code needs only `AbortController`, `Response` and `setTimeout`, no API of one runtime.
 */
import { attempt, NoAnswerError, neverSent } from "./attempt.ts";
import { byAvailability, NodeAvailability } from "./node-availability.ts";
import { raceReads, type ReadRace } from "./read-race.ts";

export interface RedundantFetchOptions {
  /** The URL of a fallback. Reads ask it after all other nodes, because its database may be old; writes never do. */
  readonly fallback?: string;
  /** How long a node can be silent before a read also asks the next one, in milliseconds. Default 50. */
  readonly hedgeAfterMs?: number;
  /**
   * How long a read waits for trusted nodes before it asks the fallback, in milliseconds. Default 500, and 2500 for a
   * read with a consistency token: a node waits 2000 ms for the position of the token before it answers 503, while a
   * fallback does not wait.
   */
  readonly fallbackAfterMs?: number;
  /** Time limit for the response of one node, in milliseconds. Default 30000. It replaces `fetchTimeoutMillis`. */
  readonly timeoutMs?: number;
  /**
   * How long a node that failed is asked after all others, in milliseconds; doubled with each further failure, up to
   * three times. Default 1000.
   */
  readonly restMs?: number;
}

/** The type of the option `fetchBuilder` of the official client. */
export type FetchBuilder = (
  fetch: (url: string, init?: RequestInit) => Promise<Response>,
) => (url: string, init?: RequestInit) => Promise<Response>;

/**
 * Returns a `fetchBuilder` that asks the nodes at `urls` in this order, whatever the URL of the client is. It remembers
 * the availability of the nodes, so create one and use it for all clients of the application.
 *
 * It replaces the retries of the client. A read rejects only if all nodes have failed, and gets a status other than 2xx
 * only if all nodes refused it or if the request is wrong.
 */
export function redundantFetch(urls: readonly string[], options: RedundantFetchOptions = {}): FetchBuilder {
  const { hedgeAfterMs = 50, timeoutMs = 30_000, restMs = 1000 } = options;
  const { fallbackAfterMs = 500, fallbackAfterMs: fallbackAfterMsWithToken = 2500 } = options;
  checkDurations({ hedgeAfterMs, fallbackAfterMs, timeoutMs, restMs });
  if (urls.length === 0) throw new TypeError("redundantFetch needs the URL of at least one node");
  const nodeAt = (url: string): NodeAvailability => new NodeAvailability(checkedBase(url), restMs);
  const readers = urls.map(nodeAt);
  // A node that cannot reach the primary still answers reads, so reads and writes need separate availabilities.
  const writers = urls.map(nodeAt);
  const fallback = options.fallback === undefined ? undefined : nodeAt(options.fallback);

  return (fetch) =>
    (url, init = {}) => {
      const from = new URL(url);
      const path = pathOf(from);
      const requestTo = ({ base }: NodeAvailability) => ({
        url: base + path,
        init: new URL(base).protocol === from.protocol ? init : withoutAgent(init),
      });
      if (!isRead(init.method ?? "GET", path)) return write({ fetch, nodes: writers, requestTo, timeoutMs });
      const signal = init.signal ?? undefined;
      const hasToken = new Headers(init.headers).has("OsoOffset");
      const fallbackDelayMs = hasToken ? fallbackAfterMsWithToken : fallbackAfterMs;
      const times = { hedgeAfterMs, fallbackAfterMs: fallbackDelayMs, timeoutMs };
      return raceReads({ fetch, nodes: readers, fallback, requestTo, signal, ...times });
    };
}

type Write = Pick<ReadRace, "fetch" | "nodes" | "requestTo" | "timeoutMs">;

async function write({ fetch, nodes, requestTo, timeoutMs }: Write): Promise<Response> {
  let refused: unknown;
  for (const node of byAvailability(nodes)) {
    const { url, init } = requestTo(node);
    node.requestStarted();
    try {
      const response = await attempt(fetch, url, init, timeoutMs).response;
      // The response is final. If the application repeats the write, another node may succeed.
      if (response.status < 500) node.requestSucceeded();
      else node.requestFailed();
      return response;
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      node.requestFailed();
      if (!neverSent(error)) throw error;
      refused = error;
    }
  }
  throw new NoAnswerError("no node could be reached for the write, nothing was written", "ECONNREFUSED", refused);
}

/** The reads of the official clients of all languages and of Ostiary. All other requests are treated as writes. */
const readsByPost = new Set([
  "authorize",
  "authorize_resources",
  "list",
  "actions",
  "bulk_actions",
  "query",
  "evaluate_query",
  "authorize_query",
  "actions_query",
  "list_query",
  "evaluate_query_local",
  "explain",
  "validate",
  "test",
]);

function isRead(method: string, path: string): boolean {
  const verb = method.toUpperCase();
  if (verb === "GET" || verb === "HEAD") return true;
  const name = /^\/api\/([a-z_]+)(?:\?|$)/.exec(path)?.[1];
  return verb === "POST" && name !== undefined && readsByPost.has(name);
}

/** The path from `/api/` on, with the query string. The part before it belongs to the URL of the client. */
function pathOf({ href, pathname, search }: URL): string {
  const start = pathname.lastIndexOf("/api/");
  if (start < 0) throw new TypeError(`\`${href}\` is not a URL of the API, which has \`/api/\` in its path`);
  return pathname.slice(start) + search;
}

/** The official client passes an agent of Node's `http` or `https`, as its own URL needs. The other cannot use it. */
function withoutAgent(init: RequestInit): RequestInit {
  const { agent: _, ...rest } = init as RequestInit & { readonly agent?: unknown };
  return rest;
}

function checkedBase(url: string): string {
  const parsed = parsedUrl(url);
  // The message does not repeat the URL, which can contain a password.
  if (parsed === undefined) {
    throw new TypeError(
      "redundantFetch needs URLs of nodes: `http://` or `https://`, host and port, without a password, a query or a fragment",
    );
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, "");
}

function parsedUrl(url: string): URL | undefined {
  try {
    const parsed = new URL(url);
    const unwanted = parsed.username + parsed.password + parsed.search + parsed.hash;
    return /^https?:$/.test(parsed.protocol) && unwanted === "" ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** The longest delay of a timer. A longer one would fire immediately. */
const timerMsMax = 2 ** 31 - 1;

function checkDurations(durations: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(durations)) {
    if (!(value >= 0 && value <= timerMsMax))
      throw new TypeError(`${name} must be a number of milliseconds from 0 to ${timerMsMax}, not \`${value}\``);
  }
}
