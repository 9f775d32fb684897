/**
 * The HTTP API of a node, as a function from request to answer. This file is the table of contents: which routes there are, and which of them
 * depend on what the node can do. `access.ts` says who may call them, `errors.ts` what goes wrong, `exchange.ts` what every answer carries.
 */
import { Elysia } from "elysia";
import type { Limits } from "../config/limits.ts";
import { AnswerParts } from "../engine/workers/answer-parts.ts";
import { QueryDispatcher } from "../engine/workers/query-dispatcher.ts";
import type { Node } from "../replication/node.ts";
import { type Span, SpanKind, withSpan } from "../telemetry/tracing.ts";
import { AppError } from "../util/app-error.ts";
import { pathOf, pathStart } from "../util/request-url.ts";
import { BodyParser } from "./request/body-parser.ts";
import { BodyReader } from "./request/body-reader.ts";
import { ByteBudget } from "./response/byte-budget.ts";
import { errors, errorResponse } from "./middleware/errors.ts";
import { EventPages, LogReadQueue } from "./events/log-read-queue.ts";
import { EventStreams } from "./events/event-streams.ts";
import {
  prepareResponse,
  attachExchange,
  beginExchange,
  type Exchange,
  exchangeOf,
  finishExchange,
  reply,
  replyChunks,
  type BodyHandlers,
} from "./middleware/exchange.ts";
import { LargeResponses } from "./response/large-responses.ts";
import { authorizeHandler, authorizePath, authorizeRoute } from "./routes/authorize.ts";
import { backupRoutes } from "./routes/backup.ts";
import { listRoutes } from "./routes/lists.ts";
import { eventRoutes } from "./routes/events.ts";
import { explainRoutes } from "./routes/explain.ts";
import { forwardedWrites, refusedWrites } from "./routes/write-forwarding.ts";
import { factReads, factWrites } from "./routes/facts.ts";
import { healthPaths, healthRoutes } from "./routes/health.ts";
import { keyReads, keyWrites } from "./routes/keys.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { policyCheckRoutes } from "./routes/policy-checks.ts";
import { policyReads, policyWrites } from "./routes/policy.ts";
import { promoteRoutes } from "./routes/promote.ts";
import { queryRoutes } from "./routes/query.ts";
import { replicationRoutes } from "./routes/replication.ts";
import { notFoundRoutes, type RegisteredRoute } from "./routes/not-found.ts";

export interface App {
  /** Never rejects. `cut` ends the connection of a request within some seconds, also where its peer takes nothing of what waits for it. */
  fetch(request: Request, cut?: Exchange["closeConnection"]): Response | Promise<Response>;
  /** How many requests are not answered yet. */
  readonly inFlight: number;
  readonly routes: readonly RegisteredRoute[];
  /** Ends answers that would go on for ever. */
  close(): void;
  /** Ends what goes on for ever, and nothing else: event streams, and nodes that wait for something new. */
  endStreams(): void;
}

export function createApp(node: Node, limits: Limits): App {
  const asked = new QueryDispatcher(() => node.engine(), limits);
  const reads = new LogReadQueue();
  const streams = new EventStreams(node, limits, reads);
  const budget = new ByteBudget(limits);
  const reader = new BodyReader(limits, budget);
  const bodies = new BodyParser(limits);
  const large = new LargeResponses(budget, limits);
  const authorize = authorizeHandler(node, limits, asked, bodies);
  // Without `standardHostname` a request to a host with a short name is routed too.
  const routed = new Elysia({ handler: { standardHostname: false } })
    .use(errors)
    .use(answers)
    .use(healthRoutes(node))
    .use(metricsRoutes(node, limits))
    .use(authorizeRoute(authorize))
    .use(listRoutes(node, limits, asked, bodies))
    .use(queryRoutes(node, limits, asked, bodies))
    .use(explainRoutes(node, limits, bodies))
    .use(factReads(node, limits, asked))
    .use(eventRoutes(node, limits, streams, new EventPages(limits, reads)))
    .use(policyReads(node, limits))
    .use(policyCheckRoutes(node, limits, bodies))
    .use(keyReads(node, limits))
    .use(writeRoutes(node, limits, bodies))
    .use(promoteRoutes(node, limits, bodies))
    .use(backupRoutes(node, limits))
    .use(replicationRoutes(node));
  const routes = routed.routes.map(({ method, path }) => ({ method, path }));
  const app = routed.use(notFoundRoutes(routes));
  // What is asked all the time is not sent through all that Elysia does around a handler, which takes as long as the answer.
  const exchanges = exchanging(node, limits, { bodies: reader, large }, (exchange, received) => {
    const request = withRoutableUrl(received);
    if (isAuthorize(request)) return authorize(exchange, request);
    attachExchange(request, exchange);
    return app.fetch(request);
  });
  return {
    fetch: exchanges.fetch,
    get inFlight() {
      return exchanges.inFlight;
    },
    routes,
    endStreams() {
      streams.close();
      node.endLongPolls?.();
    },
    close() {
      this.endStreams();
      bodies.close();
    },
  };
}

/** Who writes is a matter of the node's role, and settled here, once. */
function writeRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  if (node.writes !== undefined) {
    return new Elysia()
      .use(factWrites(node, node.writes, limits, bodies))
      .use(policyWrites(node, node.writes, limits, bodies))
      .use(keyWrites(node, node.writes, limits, bodies));
  }
  return node.forward === undefined ? refusedWrites(node) : forwardedWrites(node, node.forward, limits);
}

/** What a route returned becomes the answer. */
const answers = new Elysia({ name: "answers" }).mapResponse({ as: "global" }, ({ request, responseValue, set }) => {
  const exchange = exchangeOf(request);
  if (responseValue instanceof Response) return prepareResponse(exchange, responseValue);
  if (responseValue instanceof AnswerParts) return replyChunks(exchange, responseValue);
  return reply(exchange, Number(set.status ?? 200), responseValue, set.headers);
});

type Handle = (exchange: Exchange, request: Request) => Response | Promise<Response>;

/** Opens an exchange and a span around each request, and bounds how many there are at a time. What is made for each request is little. */
function exchanging(
  node: Node,
  limits: Limits,
  streams: BodyHandlers,
  handle: Handle,
): Pick<App, "fetch" | "inFlight"> {
  let inFlight = 0;
  const answered = (exchange: Exchange, response: Response): Response => {
    inFlight -= 1;
    finishExchange(exchange, response);
    return response;
  };
  const failed = (exchange: Exchange, error: unknown): Response => {
    inFlight -= 1;
    const response = errorResponse(exchange, error);
    finishExchange(exchange, response);
    return response;
  };
  const settled = (exchange: Exchange, answer: Promise<Response>): Promise<Response> =>
    answer.then(
      (response) => answered(exchange, response),
      (error) => failed(exchange, error),
    );
  const respond = (span: Span, received: Request, cut: Exchange["closeConnection"]): Response | Promise<Response> => {
    const exchange = beginExchange(node, received, streams, span, cut);
    inFlight += 1;
    let answer: Response | Promise<Response>;
    try {
      if (inFlight > limits.requestsInFlightMax && !isReserved(received))
        throw new AppError("not_ready", "too many requests at a time, try again");
      answer = handle(exchange, received);
    } catch (error) {
      return failed(exchange, error);
    }
    return answer instanceof Promise ? settled(exchange, answer) : answered(exchange, answer);
  };
  return {
    fetch(received, cut) {
      const options = { kind: SpanKind.SERVER, parent: received.headers.get("traceparent") };
      return withSpan("request", options, respond, received, cut);
    },
    get inFlight() {
      return inFlight;
    },
  };
}

function isAuthorize({ method, url }: Request): boolean {
  const start = pathStart(url);
  return method === "POST" && url.length === start + authorizePath.length && url.startsWith(authorizePath, start);
}

/** Whether a request is answered however many others there are: other nodes and health checks, which wait for nothing and hold nothing. */
function isReserved({ url }: Request): boolean {
  const path = pathOf(url);
  return path.startsWith("/replication/") || healthPaths.has(path);
}

/**
 * The request with a URL that routes are found in. Clients join their configured URL and `/api/…` without a look, so `//api/…` comes in; and where there
 * is no host the URL is only a path. Most requests are as they should be.
 */
function withRoutableUrl(request: Request): Request {
  const { url } = request;
  const path = pathStart(url);
  if (path > 0 && !url.includes("//", path)) return request;
  if (path === 0) requireNoHost(request);
  const end = url.indexOf("?", path);
  const pathname = url.slice(path, end === -1 ? undefined : end);
  if (path > 0 && !pathname.includes("//")) return request;
  const single = pathname.replaceAll(/\/{2,}/g, "/");
  const origin = path === 0 ? "http://localhost" : url.slice(0, path);
  return new Request(origin + single + (end === -1 ? "" : url.slice(end)), request);
}

/** A host that cannot be one is refused, as RFC 9112 (3.2) asks: proxies and servers that read it differently would route by different paths. */
function requireNoHost({ headers }: Request): void {
  if (headers.get("host")) throw new AppError("invalid_request", "the `Host` header is malformed");
}
