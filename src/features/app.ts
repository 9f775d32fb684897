/**
 * The HTTP API of a node: a function from requests to responses. This file lists the features, each of which declares its
 * endpoints and handles their requests. `http/router.ts` makes the routes. `authorize` has two ways: `fetch` calls its
 * handler itself, and the router has a route for the other forms of its URL.
 */
import { type AnyElysia, Elysia } from "elysia";
import type { Config } from "../config/config.ts";
import type { Limits } from "../config/limits.ts";
import { DecisionLog, unloggedDecisions } from "../decisions/decision-log.ts";
import { AnswerParts } from "../engine/workers/answer-parts.ts";
import { QueryDispatcher } from "../engine/workers/query-dispatcher.ts";
import { policyChecks } from "../engine/workers/policy-checks.ts";
import { PastDecisions } from "../decisions/past-decisions.ts";
import { PastProcess } from "../decisions/past-process.ts";
import { PastQuestions } from "../decisions/past-questions.ts";
import type { Node } from "../replication/node.ts";
import { MetricHistory } from "../telemetry/metric-history.ts";
import type { TracedKind } from "../telemetry/trace-budget.ts";
import { type Span, SpanKind, unrecordedSpan, withSpan } from "../telemetry/tracing.ts";
import { AppError } from "../util/app-error.ts";
import { addressMatcher } from "../util/networks.ts";
import { pathOf, pathStart } from "../util/request-url.ts";
import { BodyParser } from "../http/request/body-parser.ts";
import { BodyReader } from "../http/request/body-reader.ts";
import { RequestLimits } from "../http/request/request-limits.ts";
import { ByteBudget } from "../http/response/byte-budget.ts";
import { apiKeyFinder } from "../http/middleware/access.ts";
import { errorResponse } from "../http/middleware/errors.ts";
import type { FindKey } from "../http/middleware/principal.ts";
import { questionEngine } from "../http/middleware/question-engine.ts";
import { EventPages, LogReadQueue } from "../http/events/log-read-queue.ts";
import { EventStreams } from "../http/events/event-streams.ts";
import { DecisionStreams } from "../http/events/decision-streams.ts";
import {
  prepareResponse,
  attachExchange,
  beginExchange,
  type Exchange,
  exchangeOf,
  finishExchange,
  reply,
  replyChunks,
  type ExchangeParts,
  type RequestConnections,
} from "../http/middleware/exchange.ts";
import { LargeResponses } from "../http/response/large-responses.ts";
import { consoleAddress, consoleRoutes, type ServeConsole } from "../http/console.ts";
import type { Environments } from "../http/environments.ts";
import { notFoundRoutes, type RegisteredRoute } from "../http/not-found.ts";
import type { People } from "../http/oidc/people.ts";
import { openApiDocument } from "../http/openapi-document.ts";
import { ListPages } from "../http/pages/list-pages.ts";
import { ParityLog } from "../http/parity/parity-log.ts";
import { replicationRoute } from "../http/replication-route.ts";
import { Router } from "../http/router.ts";
import { allEndpoints } from "./all-endpoints.ts";
import { auditEndpoints } from "./audit/endpoints.ts";
import { handleAudit } from "./audit/handle.ts";
import { authzenEndpoints } from "./authzen/endpoints.ts";
import { handleAuthzen } from "./authzen/handle.ts";
import { backupEndpoints } from "./backups/endpoints.ts";
import { type ListBackups, handleBackups } from "./backups/handle.ts";
import { bindingsEndpoints } from "./bindings/endpoints.ts";
import { handleBindings } from "./bindings/handle.ts";
import { decisionEndpoints } from "./decisions/endpoints.ts";
import { handleDecisions } from "./decisions/handle.ts";
import { environmentEndpoints } from "./environments/endpoints.ts";
import { type CreateTestEnvironment, handleEnvironments } from "./environments/handle.ts";
import { eventEndpoints } from "./events/endpoints.ts";
import { handleEvents } from "./events/handle.ts";
import { factEndpoints } from "./facts/endpoints.ts";
import { handleFacts } from "./facts/handle.ts";
import { healthEndpoints, healthPaths } from "./health/endpoints.ts";
import { handleHealth } from "./health/handle.ts";
import { keyEndpoints } from "./keys/endpoints.ts";
import { handleKeys } from "./keys/handle.ts";
import { localEndpoints } from "./local/endpoints.ts";
import { handleLocal, handlePastLocal } from "./local/handle.ts";
import { metricEndpoints } from "./metrics/endpoints.ts";
import { handleMetrics } from "./metrics/handle.ts";
import { nodeEndpoints } from "./nodes/endpoints.ts";
import { handleNodes } from "./nodes/handle.ts";
import { parityEndpoints } from "./parity/endpoints.ts";
import { handleParity } from "./parity/handle.ts";
import { peopleEndpoints } from "./people/endpoints.ts";
import { type RedeemLoginCode, handlePeople } from "./people/handle.ts";
import { policyEndpoints } from "./policy/endpoints.ts";
import { handlePolicy } from "./policy/handle.ts";
import { promotionEndpoints } from "./promotion/endpoints.ts";
import { handlePromotion } from "./promotion/handle.ts";
import { authorizeEndpoints, questionEndpoints } from "./questions/endpoints.ts";
import { handleQuestions } from "./questions/handle.ts";
import { traceEndpoints } from "./traces/endpoints.ts";
import { type TraceSource, handleTraces } from "./traces/handle.ts";
import { authorizePast, handlePastQuestions } from "./questions/past.ts";
import { rehearseQuestions } from "./questions/rehearsal.ts";
import { authorizeAnswer, authorizeHandler } from "./questions/authorize.ts";

export interface App {
  /** Never rejects. `connections` are those of the server. */
  fetch(request: Request, connections?: RequestConnections): Response | Promise<Response>;
  /** The number of requests without a response. */
  readonly inFlight: number;
  readonly routes: readonly RegisteredRoute[];
  /** See `apiKeyFinder`. */
  readonly findKey: FindKey;
  /** Prepares the first question, in some 10 ms. Throws and rejects as questions do. */
  rehearse(): Promise<void>;
  /** Ends all streams and the worker threads. */
  close(): void;
  /** Ends responses without a natural end: event streams, and long polls of other nodes. */
  endStreams(): void;
}

export interface AppOptions {
  /** The decision log of a node that changes its role, and the expectations that wait for a decision. */
  readonly decisions?: DecisionLog;
  readonly parity?: ParityLog;
  /** The metrics of the last hour. */
  readonly history?: MetricHistory;
  /** The traces of the environment; undefined if the app shows none. */
  readonly traces?: TraceSource | undefined;
  /** Serves the files of the web console; undefined if it is disabled. */
  readonly serveConsole?: ServeConsole | undefined;
  /** Lists the backups in the configured directory; undefined without one. */
  readonly listBackups?: ListBackups | undefined;
  /** The URL of the API as clients see it. */
  readonly publicUrl?: string | undefined;
  /** IP addresses and networks of proxies, whose `X-Forwarded-For` names the client. */
  readonly trustedProxies?: readonly string[] | undefined;
  /** The settings of the OIDC issuer, for people who want to log in. */
  readonly oidc?: Config["oidc"] | undefined;
  /** With it, people are admitted besides API keys. */
  readonly people?: People | undefined;
  /** All environments of the appliance; for the app of the default one. */
  readonly environments?: Environments | undefined;
  /** Whether this is the app of another environment, whose keys may not administer the appliance. */
  readonly isHosted?: boolean | undefined;
  /** With it, the app has the routes of `ostiary dev`. */
  readonly createTestEnvironment?: CreateTestEnvironment | undefined;
  readonly redeemLoginCode?: RedeemLoginCode | undefined;
}

export function createApp(
  node: Node,
  limits: Limits,
  {
    decisions = new DecisionLog(unloggedDecisions(limits)),
    parity = new ParityLog(decisions),
    history = new MetricHistory(node.clock),
    traces,
    serveConsole,
    listBackups,
    publicUrl,
    oidc,
    people,
    environments,
    isHosted = false,
    createTestEnvironment,
    redeemLoginCode,
    trustedProxies = [],
  }: AppOptions = {},
): App {
  const queries = new QueryDispatcher(() => questionEngine(node), limits);
  const isTrustedProxy = addressMatcher(trustedProxies);
  const requestLimits = RequestLimits.of(limits);
  const reads = new LogReadQueue();
  const streams = new EventStreams(node, limits, reads);
  const decisionStreams = new DecisionStreams(node, limits, decisions);
  const past = new PastProcess(() => node.engine().path, limits, decisions.directory);
  const [pastDecisions, pastQuestions] = [new PastDecisions(past, decisions), new PastQuestions(past)];
  const checks = policyChecks(limits);
  const budget = new ByteBudget(limits);
  const reader = new BodyReader(limits, budget);
  const bodies = new BodyParser(limits);
  const large = new LargeResponses(budget, limits);
  const pages = new ListPages(node, limits, queries, decisions);
  const decide = authorizeAnswer(limits, queries, bodies, parity, decisions);
  const authorize = authorizeHandler(node, limits, decide, authorizePast(pastQuestions, bodies, limits));
  const document = () => openApiDocument(allEndpoints, limits);
  const login = { oidc, people, redeemLoginCode };
  const addRoutes = (app: AnyElysia) =>
    new Router({ node, limits, bodies, isHosted }, app)
      .serveWhole(authorizeEndpoints.authorize, authorize)
      .serve(
        questionEndpoints,
        handleQuestions(node, limits, queries, pages, decisions),
        handlePastQuestions(pastQuestions),
      )
      .serve(localEndpoints, handleLocal(queries, decisions), handlePastLocal(pastQuestions))
      .serve(bindingsEndpoints, handleBindings(node, limits, queries))
      .serve(authzenEndpoints, handleAuthzen(node, limits, { queries, pages, decisions, publicUrl }))
      .serve(decisionEndpoints, handleDecisions(limits, decisions, decisionStreams, pastDecisions))
      .serve(parityEndpoints, handleParity(limits, decisions, parity))
      .serve(factEndpoints, handleFacts(node, limits, queries))
      .serve(policyEndpoints, handlePolicy(node, limits, { queries, checks, past: pastDecisions, log: decisions }))
      .serve(keyEndpoints, handleKeys(node, limits))
      .serve(peopleEndpoints, handlePeople(node, login))
      .serve(environmentEndpoints, handleEnvironments(node, environments, createTestEnvironment))
      .serve(healthEndpoints, handleHealth(node, document))
      .serve(metricEndpoints, handleMetrics(node, history))
      .serve(eventEndpoints, handleEvents(node, limits, streams, new EventPages(limits, reads)))
      .serve(backupEndpoints, handleBackups(node, { environments, listBackups, isHosted }))
      .serve(auditEndpoints, handleAudit(node, limits))
      .serve(promotionEndpoints, handlePromotion(node, environments))
      .serve(nodeEndpoints, handleNodes(node))
      .serve(traceEndpoints, handleTraces(node, traces));
  const makeApi = () => {
    const app = newRoutes();
    addRoutes(app);
    if (!isHosted && serveConsole !== undefined) app.use(consoleRoutes(serveConsole));
    return routed(app.use(replicationRoute(node)), serveConsole && consoleAddress);
  };
  let madeApi: Routed | undefined;
  let madeForNodes: Routed | undefined;
  const api = (): Routed => (madeApi ??= makeApi());
  // All routes take half a megabyte. An idle environment is asked only by other nodes, and for these it needs only their routes.
  const forNodes = (): Routed => (madeForNodes ??= routed(newRoutes().use(replicationRoute(node))));
  if (!isHosted) api();
  // The most frequent request bypasses Elysia, whose work around a handler takes as long as the decision.
  const findKey = apiKeyFinder(node);
  const parts = { bodies: reader, large, findKey, people, isHosted, isTrustedProxy, requestLimits };
  const exchanges = serveExchanges(node, limits, parts, (exchange, received) => {
    if (isAuthorize(received) && hasHost(received)) return authorize(exchange, received);
    const request = withRoutableUrl(received);
    if (isAuthorize(request)) return authorize(exchange, request);
    attachExchange(request, exchange);
    const isOfNode = isHosted && request.url.startsWith(nodePaths, pathStart(request.url));
    return (isOfNode ? forNodes() : api()).fetch(request);
  });
  return {
    fetch: exchanges.fetch,
    findKey,
    get inFlight() {
      return exchanges.inFlight;
    },
    get routes() {
      return api().routes;
    },
    rehearse: () => rehearse(node, limits, bodies, { parts, api }),
    endStreams() {
      streams.close();
      decisionStreams.close();
      node.endLongPolls?.();
    },
    close() {
      this.endStreams();
      past.close();
      bodies.close();
    },
  };
}

/** The questions, and the way of a request through Elysia. */
async function rehearse(
  node: Node,
  limits: Limits,
  bodies: BodyParser,
  { parts, api }: { readonly parts: ExchangeParts; readonly api: () => Routed },
): Promise<void> {
  await rehearseQuestions(node, limits, bodies, parts);
  const request = new Request(`http://localhost${healthEndpoints.live.path}`);
  attachExchange(request, beginExchange(node, request, parts, unrecordedSpan(undefined), undefined));
  await api().fetch(request);
}

const nodePaths = "/replication/";

interface Routed {
  readonly routes: readonly RegisteredRoute[];
  fetch(request: Request): Response | Promise<Response>;
}

/** `standardHostname: false` also routes requests to hosts with short names. */
function newRoutes() {
  return new Elysia({ handler: { standardHostname: false } }).use(errors).use(responses);
}

/** Answers requests for all other paths as well, those of browsers for `/` with a redirection to `redirect`. */
function routed(app: AnyElysia, redirect?: string): Routed {
  const routes = app.routes.map(({ method, path }) => ({ method, path }));
  const whole = app.use(notFoundRoutes(routes, redirect));
  return { routes, fetch: (request) => whole.fetch(request) };
}

const errors = new Elysia({ name: "errors" }).onError({ as: "global" }, ({ error, request }) =>
  errorResponse(exchangeOf(request), error),
);

/** Turns the result of a route into a response. */
const responses = new Elysia({ name: "responses" }).mapResponse({ as: "global" }, ({ request, responseValue, set }) => {
  const exchange = exchangeOf(request);
  if (responseValue instanceof Response) return prepareResponse(exchange, responseValue);
  if (responseValue instanceof AnswerParts) return replyChunks(exchange, responseValue);
  return reply(exchange, Number(set.status ?? 200), responseValue, set.headers);
});

/** Begins an exchange and a span for each request, with few allocations. Bounds the number of concurrent requests. */
function serveExchanges(
  node: Node,
  limits: Limits,
  parts: ExchangeParts,
  handle: (exchange: Exchange, request: Request) => Response | Promise<Response>,
): Pick<App, "fetch" | "inFlight"> {
  let inFlight = 0;
  const succeeded = (exchange: Exchange, response: Response): Response => {
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
  const settled = (exchange: Exchange, pending: Promise<Response>): Promise<Response> =>
    pending.then(
      (response) => succeeded(exchange, response),
      (error) => failed(exchange, error),
    );
  const respond = (
    span: Span,
    received: Request,
    connections: RequestConnections | undefined,
  ): Response | Promise<Response> => {
    const exchange = beginExchange(node, received, parts, span, connections);
    inFlight += 1;
    let response: Response | Promise<Response>;
    try {
      if (inFlight > limits.requestsInFlightMax && !isUnlimited(received))
        throw new AppError("not_ready", "too many concurrent requests, try again");
      response = handle(exchange, received);
    } catch (error) {
      return failed(exchange, error);
    }
    return response instanceof Promise ? settled(exchange, response) : succeeded(exchange, response);
  };
  return {
    fetch(received, connections) {
      const parent = received.headers.get("traceparent");
      const traced = tracedKindOf(received, parent);
      const options = { kind: SpanKind.SERVER, parent, traced, isChosen: connections?.isTraced?.(received) };
      return withSpan("request", options, respond, received, connections);
    },
    get inFlight() {
      return inFlight;
    },
  };
}

const authorizePath = authorizeEndpoints.authorize.path;

function isAuthorize({ method, url }: Request): boolean {
  const start = pathStart(url);
  return method === "POST" && url.length === start + authorizePath.length && url.startsWith(authorizePath, start);
}

/** Without a usable `Host` header, the URL is only a path. */
function hasHost({ url }: Request): boolean {
  return !url.startsWith("/");
}

/** A write that an edge forwards belongs to the trace of the edge. Polls would displace the traces that people look for. */
function tracedKindOf(request: Request, parent: string | null): TracedKind {
  if (isAuthorize(request)) return "decision";
  const path = pathOf(request.url);
  if (healthPaths.has(path) || unrecordedPaths.some((start) => path.startsWith(start))) return "none";
  return parent !== null && request.headers.has("ostiary-forwarded") ? "continued" : "request";
}

const unrecordedPaths = [nodePaths, "/console", "/metrics", "/api/metrics_history", "/api/nodes", "/api/traces"];

/** Requests of other nodes and health checks use few resources, so the limit of concurrent requests exempts them. */
function isUnlimited({ url }: Request): boolean {
  const path = pathOf(url);
  return path.startsWith("/replication/") || healthPaths.has(path);
}

/**
 * The request with a normalized URL. Clients concatenate their configured URL and `/api/…`, which can give `//api/…`;
 * without a `Host` header the URL is only a path. Most requests need no change.
 */
function withRoutableUrl(request: Request): Request {
  // Elysia looks for the path behind `http://`. A property that hides the getter of the class is cheaper than a copy.
  if (request.url.startsWith("https:"))
    Object.defineProperty(request, "url", { value: `http${request.url.slice("https".length)}` });
  const { url } = request;
  const path = pathStart(url);
  if (path > 0 && !url.includes("//", path)) return request;
  // RFC 9112 (3.2): refuse a malformed host. Proxies and servers that read it differently route by different paths.
  if (path === 0 && request.headers.get("host"))
    throw new AppError("invalid_request", "the `Host` header is malformed");
  const end = url.indexOf("?", path);
  const pathname = url.slice(path, end === -1 ? undefined : end);
  if (path > 0 && !pathname.includes("//")) return request;
  const single = pathname.replaceAll(/\/{2,}/g, "/");
  const origin = path === 0 ? "http://localhost" : url.slice(0, path);
  return new Request(origin + single + (end === -1 ? "" : url.slice(end)), request);
}
