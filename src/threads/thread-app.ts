/**
 * What a thread answers itself: questions with API keys of the default environment, as long as the main thread permits it
 * and nothing is unusual about them. The main thread gets all other requests, and also those for which this thread finds
 * an error. So each error, wait, forwarding and long query has one place, and an answer is the same in all threads.
 */
import { TraceFlags } from "@opentelemetry/api";
import type { ThreadDecisions } from "../decisions/thread-decisions.ts";
import { authorizeAnswer } from "../features/questions/authorize.ts";
import { authorizeEndpoints, questionEndpoints } from "../features/questions/endpoints.ts";
import { handleQuestions } from "../features/questions/handle.ts";
import { rehearseQuestions } from "../features/questions/rehearsal.ts";
import { localQueries } from "../engine/workers/local-queries.ts";
import { type Endpoint, momentHeader } from "../http/endpoint.ts";
import { apiKeyFinder, guardOf } from "../http/middleware/access.ts";
import { errorResponse } from "../http/middleware/errors.ts";
import {
  attachExchange,
  beginEndpoint,
  beginExchange,
  type Exchange,
  type ExchangeParts,
  finishExchange,
  reply,
} from "../http/middleware/exchange.ts";
import { questionEngine } from "../http/middleware/question-engine.ts";
import { BodyParser } from "../http/request/body-parser.ts";
import { BodyReader, type LargeBody, parseJson } from "../http/request/body-reader.ts";
import { ByteBudget } from "../http/response/byte-budget.ts";
import { LargeResponses } from "../http/response/large-responses.ts";
import type { ListenerThread } from "../runtime/listener-threads.ts";
import type { RequestConnections } from "../runtime/platform.ts";
import { TraceBudget, type TracedKind } from "../telemetry/trace-budget.ts";
import { parseTraceparent } from "../telemetry/trace-context.ts";
import { unrecordedSpan } from "../telemetry/tracing.ts";
import { must } from "../util/assert.ts";
import { pathStart } from "../util/request-url.ts";
import { smallBodyBytes } from "../util/tuning.ts";
import type { Permission, SharedCounters } from "./messages.ts";
import { OnlyMainThread, type ThreadNode } from "./thread-node.ts";

type Forward = ListenerThread["forward"];
/** The response to a question whose sender may ask. Throws or rejects if the main thread has to answer. */
type Answer = (exchange: Exchange, body: string) => Response | Promise<Response>;

interface Route {
  readonly endpoint: Endpoint;
  readonly guard: ReturnType<typeof guardOf>;
  readonly answer: Answer;
}

export interface ThreadApp {
  /** Answers a request here, or forwards it. */
  fetch(request: Request, connections: RequestConnections): Response | Promise<Response>;
  /** As `App.rehearse`. */
  rehearse(): Promise<void>;
}

/** `node` has the database of the permission. */
export function openThreadApp(
  permission: Permission,
  { inFlight, thread }: SharedCounters,
  { node, decisions }: { readonly node: ThreadNode; readonly decisions: ThreadDecisions },
  forward: Forward,
): ThreadApp {
  const { limits } = permission;
  const parts = partsOf(permission, node, inFlight.length);
  const bodies = new BodyParser(limits);
  const routes = routesOf(permission, node, decisions, bodies);
  const isTraced = traceChoice(permission);

  /** The exchange is over for this thread: it has a response, or the main thread gets the request. */
  const end = (): number => Atomics.sub(inFlight, thread, 1);
  const finish = (exchange: Exchange, response: Response): Response => {
    end();
    finishExchange(exchange, response);
    return response;
  };
  const handOver = ({ received, connections }: Exchange, body?: string): Promise<Response> => {
    end();
    return forward(received, must(connections), body === undefined ? {} : { body });
  };
  const answerBody = (exchange: Exchange, body: string | LargeBody): Response | Promise<Response> => {
    const text = body as string; // `isUsual` has its length.
    if (!node.mayAnswer) return handOver(exchange, text);
    try {
      const response = must(routes.get(exchange.route)).answer(exchange, text);
      return response instanceof Promise
        ? response.then(
            (settled) => finish(exchange, settled),
            () => handOver(exchange, text),
          )
        : finish(exchange, response);
    } catch {
      return handOver(exchange, text);
    }
  };
  const readAndAnswer = (exchange: Exchange): Promise<Response> =>
    parts.bodies
      .withBody(exchange, exchange.received, limits.readBodyBytesMax, answerBody)
      .catch((error: unknown) => finish(exchange, errorResponse(exchange, error)));

  const fetch: ThreadApp["fetch"] = (request, connections) => {
    const { url } = request;
    const route = request.method === "POST" && !url.startsWith("/") ? routes.get(url.slice(pathStart(url))) : undefined;
    if (route === undefined || !node.mayAnswer || !isUsual(request)) return forward(request, connections);
    const { endpoint, guard } = route;
    const parent = request.headers.get("traceparent");
    if (isTraced(parent, endpoint === authorizeEndpoints.authorize ? "decision" : "request"))
      return forward(request, connections, { isTraced: true });
    const exchange = beginExchange(node, request, parts, unrecordedSpan(parent), connections);
    beginEndpoint(exchange, endpoint);
    Atomics.add(inFlight, thread, 1);
    if (sumOf(inFlight) > limits.requestsInFlightMax) return handOver(exchange);
    try {
      const access = guard(exchange, request);
      if (access === undefined) return readAndAnswer(exchange);
      return access.then(
        () => readAndAnswer(exchange),
        () => handOver(exchange),
      );
    } catch {
      return handOver(exchange);
    }
  };
  return { fetch, rehearse: () => rehearseQuestions(node, limits, bodies, parts) };
}

function sumOf(counts: Int32Array): number {
  let sum = 0;
  for (let index = 0; index < counts.length; index++) sum += Atomics.load(counts, index);
  return sum;
}

/** The main thread records traces, so it gets the requests that begin or continue one. */
function traceChoice({ tracedShare, tracesPerSecond }: Permission) {
  const budget = new TraceBudget(tracesPerSecond);
  return (parent: string | null, kind: TracedKind): boolean => {
    if (tracedShare === undefined) return budget.take(undefined, kind);
    const given = parseTraceparent(parent);
    if (given === undefined) return Math.random() < tracedShare;
    return (given.traceFlags & TraceFlags.SAMPLED) !== 0;
  };
}

/** Whether the body is short, its length is known, and the question is about the present. */
function isUsual({ headers }: Request): boolean {
  const declared = headers.get("content-length");
  return declared !== null && Number(declared) <= smallBodyBytes && !headers.has(momentHeader);
}

/** The threads share the limit of bytes. */
function partsOf({ limits }: Permission, node: ThreadNode, threads: number): ExchangeParts {
  const { bufferedBytesMax, bufferedNodeBytesReserved } = limits;
  const clientBytesMax = Math.floor((bufferedBytesMax - bufferedNodeBytesReserved) / threads);
  const budget = new ByteBudget({ bufferedBytesMax: clientBytesMax, bufferedNodeBytesReserved: 0 });
  return {
    bodies: new BodyReader(limits, budget),
    large: new LargeResponses(budget, limits),
    findKey: apiKeyFinder(node),
    people: undefined,
    isHosted: false,
    isTrustedProxy: () => false,
    requestLimits: undefined,
  };
}

/** By path. */
function routesOf(
  { limits }: Permission,
  node: ThreadNode,
  decisions: ThreadDecisions,
  bodies: BodyParser,
): ReadonlyMap<string, Route> {
  const queries = localQueries(() => questionEngine(node));
  const authorize = authorizeAnswer(limits, queries, bodies, { decided() {} }, decisions);
  const handlers = handleQuestions(node, limits, queries, { first: onlyMainThread, next: onlyMainThread }, decisions);
  const routes = new Map<string, Route>();
  const add = (endpoint: Endpoint, answer: Answer): void =>
    void routes.set(endpoint.path, { endpoint, guard: guardOf(node, endpoint, "read"), answer });
  add(authorizeEndpoints.authorize, authorize);
  for (const id of ["authorizeResources", "list", "actions", "bulkActions", "query", "evaluateQuery"] as const) {
    const endpoint = questionEndpoints[id];
    const handler = handlers[id] as (call: object) => unknown;
    add(endpoint, async (exchange, body) => {
      const request = exchange.received;
      attachExchange(request, exchange);
      const question = bodies.parseValue(endpoint.body, parseJson(body));
      return reply(exchange, 200, await handler({ body: question, request, path: endpoint.path, params: {} }));
    });
  }
  return routes;
}

function onlyMainThread(): never {
  throw new OnlyMainThread();
}
