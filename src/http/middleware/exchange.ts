/**
 * One request and its answer. Whatever every answer carries (request id, timing, trace id) is made here, so that no route can forget it;
 * routes, hooks and the error table find the exchange of a request by the request itself.
 */
import { SpanStatusCode, type Span } from "@opentelemetry/api";
import type { AnswerParts } from "../../engine/workers/answer-parts.ts";
import type { ApiKey } from "../../engine/state/event.ts";
import type { Node } from "../../replication/node.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { traceIdOf } from "../../telemetry/trace-context.ts";
import { recordSpan } from "../../telemetry/tracing.ts";
import type { ErrorCode } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { BodyOwner, BodyReader } from "../request/body-reader.ts";
import { type LargeResponses, wholeCharactersMax } from "../response/large-responses.ts";

const log = getLogger("http");

/** What reads the bodies of requests, and what sends large responses. */
export interface BodyHandlers {
  readonly bodies: BodyReader;
  readonly large: LargeResponses;
}

export interface Exchange extends BodyHandlers, BodyOwner {
  /** The caller's, or a new one: it is in our log, in the answer, and in the text of the SDKs' errors. */
  readonly requestId: string;
  readonly method: string;
  /** Milliseconds of the monotonic clock, as are the other times. */
  readonly startedMs: number;
  readonly span: Span;
  readonly node: Node;
  /** As it came in. */
  readonly received: Request;
  /** Ends the connection of what came in within some seconds; undefined where there is no connection. */
  readonly closeConnection: ((received: Request) => void) | undefined;
  /** The route's pattern. Never the path: this becomes a label and the name of the span. */
  route: string;
  /** Why it was refused; undefined where it was not. */
  errorCode: ErrorCode | undefined;
  /** Who asks; undefined where nobody was asked for a key. */
  key: ApiKey | undefined;
  /** When the key had been checked and the body was here; of a request that is traced. */
  decodedMs: number | undefined;
}

/** Kept on the request itself: a weak map of requests costs as much as reading one. */
const exchangeKey = Symbol("exchange");

type Exchanged = Request & { [exchangeKey]?: Exchange };

export function beginExchange(
  node: Node,
  received: Request,
  { bodies, large }: BodyHandlers,
  span: Span,
  cut: Exchange["closeConnection"],
): Exchange {
  return {
    large,
    requestId: requestIdOf(received),
    method: received.method,
    startedMs: performance.now(),
    span,
    node,
    received,
    bodies,
    closeConnection: cut,
    route: "unmatched",
    errorCode: undefined,
    key: undefined,
    decodedMs: undefined,
    bodyIsRead: false,
    bodyReservation: undefined,
  };
}

/** Lets those who have the request alone find its exchange. */
export function attachExchange(request: Exchanged, exchange: Exchange): void {
  request[exchangeKey] = exchange;
}

export function exchangeOf(request: Exchanged): Exchange {
  return must(request[exchangeKey], "the request has no exchange");
}

/** Among whom places are shared out: the API key. */
export function holderOf({ key }: Exchange): string {
  return key?.id ?? "";
}

/** The key has been checked, and the body is here. */
export function markDecoded(exchange: Exchange): void {
  if (exchange.span.isRecording()) exchange.decodedMs = performance.now();
}

type AddedHeaders = Readonly<Record<string, string | number>>;

/** The answer with `body` as JSON. `headers` are those that the route adds. */
export function reply(exchange: Exchange, status: number, body: unknown, headers?: AddedHeaders): Response {
  return replyJson(exchange, status, JSON.stringify(body), headers);
}

/** The same where the JSON is known already. */
export function replyJson(exchange: Exchange, status: number, json: string, headers?: AddedHeaders): Response {
  const answeredMs = exchange.span.isRecording() ? performance.now() : undefined;
  const own = commonHeaders(exchange);
  own["Content-Type"] = "application/json";
  for (const name in headers) own[name] = String(headers[name]);
  const isWhole = json.length <= wholeCharactersMax || exchange.method === "HEAD";
  const response = new Response(isWhole ? json : exchange.large.ofText(exchange, json), { status, headers: own });
  if (answeredMs !== undefined) recordPhases(exchange, answeredMs);
  return response;
}

/** The same for JSON that is made while it is sent. */
export function replyChunks(exchange: Exchange, parts: AnswerParts): Response {
  const { whole } = parts;
  if (whole !== undefined) return replyJson(exchange, 200, whole);
  const headers = { ...commonHeaders(exchange), "Content-Type": "application/json" };
  if (exchange.method !== "HEAD") return new Response(exchange.large.ofParts(exchange, parts), { headers });
  parts.close();
  return new Response(null, { headers });
}

/** For a route that has its answer as JSON already. */
export function jsonResponse(json: string): Response {
  return new Response(json, { headers: { "Content-Type": "application/json" } });
}

/** An answer that was made elsewhere (metrics, what nodes ask of each other), with our headers added. */
export function addResponseHeaders(exchange: Exchange, response: Response): Response {
  for (const [name, value] of Object.entries(commonHeaders(exchange))) response.headers.set(name, value);
  return response;
}

/** The same, sent in slices where it is large. A stream of events sends itself. */
export async function prepareResponse(exchange: Exchange, response: Response): Promise<Response> {
  const { status, headers, body } = addResponseHeaders(exchange, response);
  const type = headers.get("content-type") ?? "";
  if (body === null || exchange.method === "HEAD" || type === "text/event-stream") return response;
  const { large, route } = exchange;
  if (type === "application/zstd") return new Response(large.ofStream(exchange, body), { status, headers });
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.byteLength <= wholeCharactersMax) return new Response(bytes, { status, headers });
  const peer = route.startsWith("/replication/") ? "node" : "client";
  return new Response(large.ofBytes(exchange, bytes, peer), { status, headers });
}

/** Counts the answer, gives back what the body took of the budget, and completes the request's span. */
export function finishExchange(exchange: Exchange, response: Response): void {
  const { method, route, span } = exchange;
  exchange.bodyReservation?.release();
  // What is left of the body would come in for nothing; and a client that never sends it would keep the connection.
  if (!exchange.bodyIsRead && announcesBody(exchange.received)) response.headers.set("Connection", "close");
  const milliseconds = performance.now() - exchange.startedMs;
  metrics.httpDuration.observe({ method, route, status: response.status }, milliseconds / 1000);
  if (exchange.node.role === "fallback") {
    metrics.fallbackHttpRequests.observe({ path: route, status_code: response.status }, milliseconds);
  }
  if (isDebugging()) logAnswered(exchange, response.status, milliseconds);
  if (!span.isRecording()) return;
  if (response.status >= 500) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.setAttribute("error.type", exchange.errorCode ?? String(response.status));
  }
  span.updateName(`${method} ${route}`);
  span.setAttributes({
    "http.request.method": method,
    "http.route": route,
    "http.response.status_code": response.status,
    "ostiary.request_id": exchange.requestId,
  });
}

/** The route, not the path: ids are content. */
function logAnswered(
  { method, route, errorCode, requestId, span }: Exchange,
  status: number,
  milliseconds: number,
): void {
  const ms = Number(milliseconds.toFixed(3));
  const properties = { method, route, status, ms, errorCode, requestId, traceId: traceIdOf(span) ?? undefined };
  log.debug("{method} {route} was answered with {status} in {ms} ms", properties);
}

function announcesBody({ headers }: Request): boolean {
  return (headers.get("content-length") ?? "0") !== "0" || headers.has("transfer-encoding");
}

/** `Server-Timing` starts with `oso;`: the Node client looks no further. */
function commonHeaders(exchange: Exchange): Record<string, string> {
  const headers: Record<string, string> = {
    "X-Request-ID": exchange.requestId,
    "Server-Timing": `oso;dur=${(performance.now() - exchange.startedMs).toFixed(3)}`,
  };
  const traceId = traceIdOf(exchange.span);
  if (traceId !== null) headers["X-Trace-Id"] = traceId;
  if (exchange.node.role === "fallback") {
    const { ageMs } = exchange.node.health();
    if (ageMs !== null) headers["X-Ostiary-Snapshot-Age-Ms"] = String(Math.round(ageMs));
  }
  return headers;
}

/** The first and the last step of a request as spans; those between are the engine's or the writer's. */
function recordPhases(exchange: Exchange, answeredMs: number): void {
  const origin = performance.timeOrigin;
  const { startedMs, decodedMs } = exchange;
  if (decodedMs !== undefined) {
    recordSpan("decode", { startTime: origin + startedMs, endTime: origin + decodedMs });
  }
  recordSpan("reply", { startTime: origin + answeredMs, endTime: origin + performance.now() });
}

function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && given.length > 0 && given.length <= requestIdLengthMax ? given : newRequestId();
}

const requestIdLengthMax = 200;

/** In the form of a UUID, drawn by lot once a process and counted from there: ids have to differ, and may be guessed. */
function newRequestId(): string {
  return `${drawn}${(requests++).toString(16).padStart(12, "0")}`;
}

const drawn = crypto.randomUUID().slice(0, -12);
let requests = 0;
