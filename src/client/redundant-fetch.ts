/**
 * Redundancy on the client's side, for the official client's option `fetchBuilder`: reads are asked of several nodes and the first good answer
 * wins, so that a node may die, freeze or be restarted without a read failing. No load balancer is needed, and none could do it as well: it
 * would not repeat a request that it has sent to a node that died.
 *
 * Writes go to one node, once. Two of them in another order would be another outcome, and a write without an answer may have been done; whether
 * to repeat it is for the application to decide. Only where nobody was there to take it does it go to the next node.
 *
 * Nothing of Bun's or Node's own is used: this runs wherever there are `AbortController`, `Response` and `setTimeout`.
 */
import { attempt, NoAnswerError, neverSent, type Fetch } from "./attempt.ts";
import { byAvailability, NodeAvailability } from "./node-availability.ts";
import { raceReads } from "./read-race.ts";

export interface RedundantFetchOptions {
  /** The URL of a fallback node. It is asked for reads after all others, since its copy may be old; never for writes. */
  readonly fallback?: string;
  /** How long a node may say nothing to a read before the next one is asked as well, in milliseconds. Default 50. */
  readonly hedgeAfterMs?: number;
  /**
   * How long to wait for nodes that were well a moment ago before the fallback is asked, in milliseconds. Default 500, and 2500 for a read with a
   * consistency token: a node waits 2000 for what it names before it says 503, and the fallback would not wait.
   */
  readonly fallbackAfterMs?: number;
  /** The longest that one node may take for one answer, in milliseconds. Default 30000. The client's `fetchTimeoutMillis` has no effect. */
  readonly timeoutMs?: number;
  /** For how long a node that failed is asked after all others, in milliseconds; doubled with each further failure, three times. Default 1000. */
  readonly restMs?: number;
}

/** What the official client's option `fetchBuilder` takes. */
export type FetchBuilder = (
  fetch: (url: string, init?: RequestInit) => Promise<Response>,
) => (url: string, init?: RequestInit) => Promise<Response>;

/**
 * A `fetchBuilder` that asks the nodes at `urls`, first ones first, whatever URL the client itself was made with. What it learns of the nodes'
 * health it keeps, so make one and let all clients of the application use it.
 *
 * The client's own retries are replaced by it. A read rejects only when all nodes have failed, and with a status other than 2xx is answered
 * only what every node refused, or what is wrong with the question itself.
 */
export function redundantFetch(urls: readonly string[], options: RedundantFetchOptions = {}): FetchBuilder {
  const { hedgeAfterMs = 50, timeoutMs = 30_000, restMs = 1000 } = options;
  const { fallbackAfterMs = 500, fallbackAfterMs: fallbackAfterMsWithToken = 2500 } = options;
  checkDurations({ hedgeAfterMs, fallbackAfterMs, timeoutMs, restMs });
  if (urls.length === 0) throw new TypeError("redundantFetch needs the URL of at least one node");
  const nodeAt = (url: string): NodeAvailability => new NodeAvailability(checkedBase(url), restMs);
  const readers = urls.map(nodeAt);
  // A node that can't reach the primary answers reads as ever, so who is well is another matter for writes.
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
      const patienceMs = hasToken ? fallbackAfterMsWithToken : fallbackAfterMs;
      const times = { hedgeAfterMs, fallbackAfterMs: patienceMs, timeoutMs };
      return raceReads({ fetch, nodes: readers, fallback, requestTo, signal, ...times });
    };
}

interface Write {
  readonly fetch: Fetch;
  readonly nodes: readonly NodeAvailability[];
  readonly requestTo: (node: NodeAvailability) => { readonly url: string; readonly init: RequestInit };
  readonly timeoutMs: number;
}

async function write({ fetch, nodes, requestTo, timeoutMs }: Write): Promise<Response> {
  const { ready, resting } = byAvailability(nodes);
  let refused: unknown;
  for (const node of [...ready, ...resting]) {
    const { url, init } = requestTo(node);
    node.requestStarted();
    try {
      const answer = await attempt(fetch, url, init, timeoutMs).answer;
      // The answer counts as it is. But where the application repeats the write, the next node may do better.
      if (answer.status < 500) node.requestSucceeded();
      else node.requestFailed();
      return answer;
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      node.requestFailed();
      if (!neverSent(error)) throw error;
      refused = error;
    }
  }
  throw new NoAnswerError("no node was there to take the write, nothing was written", "ECONNREFUSED", refused);
}

/** What the official clients of all languages ask, and what else Ostiary answers. Whatever is not named here is treated as a write. */
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

/** From `/api/` on, with the query: what stands before it belongs to the URL that the client was made with. */
function pathOf({ href, pathname, search }: URL): string {
  const start = pathname.lastIndexOf("/api/");
  if (start < 0) throw new TypeError(`\`${href}\` is not a URL of the API, which has \`/api/\` in its path`);
  return pathname.slice(start) + search;
}

/** The official client brings an agent of Node's `http` or `https`, by the URL that it was made with; the other can't use it. */
function withoutAgent(init: RequestInit): RequestInit {
  const { agent: _, ...rest } = init as RequestInit & { readonly agent?: unknown };
  return rest;
}

function checkedBase(url: string): string {
  const parsed = parsedUrl(url);
  // It is not repeated: what is wrong with it may be that it has a password in it.
  if (parsed === undefined) {
    throw new TypeError(
      "redundantFetch takes URLs of nodes: `http://` or `https://`, host and port, without a password, a query or a fragment",
    );
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, "");
}

function parsedUrl(url: string): URL | undefined {
  try {
    const parsed = new URL(url);
    const further = parsed.username + parsed.password + parsed.search + parsed.hash;
    return /^https?:$/.test(parsed.protocol) && further === "" ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** The longest that a timer can wait. What is longer would fire at once. */
const timerMsMax = 2 ** 31 - 1;

function checkDurations(durations: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(durations)) {
    if (!(value >= 0 && value <= timerMsMax))
      throw new TypeError(`${name} must be a number of milliseconds from 0 to ${timerMsMax}, not \`${value}\``);
  }
}
