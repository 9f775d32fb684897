/**
 * An exchange: one request and its response. It adds the headers that all responses have (request id, timing, trace
 * id), so that no route can forget them. Routes, hooks and the error handler find the exchange through the request.
 */
import { SpanStatusCode, type Span } from "@opentelemetry/api";
import { responseChunkBytes } from "../../util/tuning.ts";
import type { AnswerNote } from "../../engine/request/questions.ts";
import type { AnswerParts } from "../../engine/workers/answer-parts.ts";
import type { Node } from "../../replication/node.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { traceIdOf } from "../../telemetry/trace-context.ts";
import { recordSpan } from "../../telemetry/tracing.ts";
import type { ErrorCode } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { preciseNow } from "../../util/clock.ts";
import { headerText, hintHeader } from "../../util/header-text.ts";
import type { AuditAction, AuditDetails } from "../../store/log/audit-entry.ts";
import type { People } from "../oidc/people.ts";
import type { Endpoint } from "../endpoint.ts";
import type { BodyOwner, BodyReader } from "../request/body-reader.ts";
import { requestIdCharactersMax } from "../request/request-schemas.ts";
import type { RequestLimits } from "../request/request-limits.ts";
import type { LargeResponses } from "../response/large-responses.ts";
import type { FindKey, Principal } from "./principal.ts";

const log = getLogger("http");

/** What all exchanges of an app share. */
export interface ExchangeParts {
  readonly bodies: BodyReader;
  /** The sender of large responses. */
  readonly large: LargeResponses;
  readonly findKey: FindKey;
  /** Undefined without an OIDC issuer. */
  readonly people: People | undefined;
  /** Whether the node is one of another environment than the default one. */
  readonly isHosted: boolean;
  /** Whether an IP address is that of a proxy whose `X-Forwarded-For` is true. */
  readonly isTrustedProxy: (address: string) => boolean;
  /** Undefined if there are none. */
  readonly requestLimits: RequestLimits | undefined;
}

/** The connections of the server, by their requests. */
export interface RequestConnections {
  readonly close: (received: Request) => void;
  readonly addressOf: (received: Request) => string | undefined;
  readonly isTraced?: (received: Request) => boolean;
}

/** The target of an audited action, and its other circumstances. */
export interface AuditedPart {
  readonly target?: string | null;
  readonly details?: AuditDetails;
}

export interface Exchange extends BodyOwner {
  readonly parts: ExchangeParts;
  /** From the client, or a new one. It is in our log, in the response, and in the error texts of the SDKs. */
  readonly requestId: string;
  /** The id from the client, which the response repeats, if it is too long for our log. */
  readonly longRequestId: string | undefined;
  readonly method: string;
  /** Of the monotonic clock, like the other times. */
  readonly startedMs: number;
  readonly span: Span;
  readonly node: Node;
  /** The original request, from the server. */
  readonly received: Request;
  /** Closes the connection of `received` within some seconds; undefined if there is no connection. */
  readonly closeConnection: ((received: Request) => void) | undefined;
  /** Has the IP address of the peer: of the client, or of a proxy in front of this node. */
  readonly connections: RequestConnections | undefined;
  /** The action of an administrator that the request is. */
  action: AuditAction | undefined;
  /** What the handler adds to the entry in the audit log (`audit.ts`). */
  audited: AuditedPart | undefined;
  /** Ends what the request counts for (`request-limits.ts`). */
  release: (() => void) | undefined;
  /** The pattern of the route, not the path: it becomes a metric label and the name of the span. */
  route: string;
  /** The error of a refused request. */
  errorCode: ErrorCode | undefined;
  /** The decision, if the answer is one. */
  decision: "allow" | "deny" | undefined;
  /** Who sent the request; undefined if the route is open to everybody. */
  principal: Principal | undefined;
  /** What the client should know beside the body: sentences about names that the policy does not have. */
  hints: readonly string[];
  /** When the API key was checked and the body was read; only for a traced request. */
  decodedMs: number | undefined;
}

/** A property of the request: a weak map of requests costs as much time as reading one. */
const exchangeKey = Symbol("exchange");

type ExchangedRequest = Request & { [exchangeKey]?: Exchange };

export function beginExchange(
  node: Node,
  received: Request,
  parts: ExchangeParts,
  span: Span,
  connections: RequestConnections | undefined,
): Exchange {
  const given = received.headers.get("x-request-id") ?? "";
  const isUsed = given !== "" && given.length <= requestIdCharactersMax;
  return {
    parts,
    requestId: isUsed ? given : newRequestId(),
    longRequestId: isUsed || given === "" ? undefined : given,
    method: received.method,
    startedMs: performance.now(),
    span,
    node,
    received,
    closeConnection: connections?.close,
    connections,
    action: undefined,
    audited: undefined,
    release: undefined,
    route: "unmatched",
    errorCode: undefined,
    decision: undefined,
    principal: undefined,
    hints: noHints,
    decodedMs: undefined,
    bodyIsRead: false,
    bodyReservation: undefined,
  };
}

/** Notes which endpoint the request is for. An answer to `HEAD` is no action. */
export function beginEndpoint(exchange: Exchange, { method, path, audit }: Endpoint): void {
  exchange.route = path;
  exchange.action = exchange.method === method ? audit : undefined;
}

const noHints: readonly string[] = [];

/** Adds what the note of an answer says about the names of the question. */
export function addHints(exchange: Pick<Exchange, "hints">, { unknown }: AnswerNote): void {
  if (unknown !== undefined && unknown.length > 0) exchange.hints = [...exchange.hints, ...unknown];
}

/** Makes the exchange available to code that has only the request. */
export function attachExchange(request: ExchangedRequest, exchange: Exchange): void {
  request[exchangeKey] = exchange;
}

export function exchangeOf(request: ExchangedRequest): Exchange {
  return must(request[exchangeKey], "the request has no exchange");
}

/** The id under which slots and queues count this request: that of its API key or of the person. */
export function holderOf({ principal }: Exchange): string {
  return principal?.id ?? "";
}

/** Has to be called when the API key is checked and the body is read. */
export function markDecoded(exchange: Exchange): void {
  if (exchange.span.isRecording()) exchange.decodedMs = performance.now();
}

type AddedHeaders = Readonly<Record<string, string | number>>;

/** A response with `body` as JSON. `headers` are additional ones of the route. */
export function reply(exchange: Exchange, status: number, body: unknown, headers?: AddedHeaders): Response {
  return replyJson(exchange, status, JSON.stringify(body), headers);
}

/** Like `reply`, for a body that is JSON already. */
export function replyJson(exchange: Exchange, status: number, json: string, headers?: AddedHeaders): Response {
  const answeredMs = exchange.span.isRecording() ? performance.now() : undefined;
  const own = commonHeaders(exchange);
  own["Content-Type"] = "application/json";
  for (const name in headers) own[name] = String(headers[name]);
  const isSmall = json.length <= responseChunkBytes || exchange.method === "HEAD";
  const response = new Response(isSmall ? json : exchange.parts.large.ofText(exchange, json), { status, headers: own });
  if (answeredMs !== undefined) recordPhases(exchange, answeredMs);
  return response;
}

/** Like `reply`, for JSON that is produced while it is sent. */
export function replyChunks(exchange: Exchange, parts: AnswerParts): Response {
  const { whole } = parts;
  if (whole !== undefined) return replyJson(exchange, 200, whole);
  const headers = { ...commonHeaders(exchange), "Content-Type": "application/json" };
  if (exchange.method !== "HEAD") return new Response(exchange.parts.large.ofParts(exchange, parts), { headers });
  parts.close();
  return new Response(null, { headers });
}

/** A response of a route whose result is JSON already. */
export function jsonResponse(json: string): Response {
  return new Response(json, { headers: { "Content-Type": "application/json" } });
}

/** Adds the common headers to a response that was made by other code (metrics, replication, a forwarded write). */
export function addResponseHeaders(exchange: Exchange, response: Response): Response {
  for (const [name, value] of Object.entries(commonHeaders(exchange))) response.headers.set(name, value);
  return response;
}

/** Adds the common headers, and sends a large response in chunks. An event stream controls its own sending. */
export async function prepareResponse(exchange: Exchange, response: Response): Promise<Response> {
  const { status, headers, body } = addResponseHeaders(exchange, response);
  const type = headers.get("content-type") ?? "";
  if (body === null || exchange.method === "HEAD" || type === "text/event-stream") return response;
  const { route } = exchange;
  const { large } = exchange.parts;
  if (type === "application/zstd") return new Response(large.ofStream(exchange, body), { status, headers });
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.byteLength <= responseChunkBytes) return new Response(bytes, { status, headers });
  const peer = route.startsWith("/replication/") ? "node" : "client";
  return new Response(large.ofBytes(exchange, bytes, peer), { status, headers });
}

/** Counts the response, releases the bytes of the body, and completes the span of the request. */
export function finishExchange(exchange: Exchange, response: Response): void {
  const { route, span } = exchange;
  const method = knownMethods.has(exchange.method) ? exchange.method : "_OTHER";
  exchange.bodyReservation?.release();
  exchange.release?.();
  // The rest of the body has no use, and a client that never sends it would keep the connection open.
  if (!exchange.bodyIsRead && announcesBody(exchange.received)) response.headers.set("Connection", "close");
  const milliseconds = performance.now() - exchange.startedMs;
  const { status } = response;
  metrics.httpDuration.observe({ method, route, status, outcome: outcomeOf(exchange, status) }, milliseconds / 1000);
  if (exchange.node.role === "fallback") {
    metrics.fallbackHttpRequests.observe({ path: route, status_code: status }, milliseconds);
  }
  if (isDebugging()) logAnswer(exchange, status, milliseconds);
  if (!span.isRecording()) return;
  if (status >= 500) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.setAttribute("error.type", exchange.errorCode ?? String(status));
  }
  span.updateName(`${method} ${route}`);
  span.setAttributes({
    "http.request.method": method,
    "http.route": route,
    "http.response.status_code": status,
    "ostiary.request_id": exchange.requestId,
  });
}

/** Clients can invent others, and each would be another time series. OpenTelemetry has the name for all of those. */
const knownMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** The value of the label `outcome`. */
function outcomeOf({ decision }: Exchange, status: number): string {
  if (status >= 500) return "failed";
  return status >= 400 ? "refused" : (decision ?? "ok");
}

/** Logs the route, not the path, because ids are data of the customer. */
function logAnswer({ method, route, errorCode, requestId, span }: Exchange, status: number, duration: number): void {
  const ms = Number(duration.toFixed(3));
  const properties = { method, route, status, ms, errorCode, requestId, traceId: traceIdOf(span) ?? undefined };
  log.debug("{method} {route} was answered with {status} in {ms} ms", properties);
}

function announcesBody({ headers }: Request): boolean {
  return (headers.get("content-length") ?? "0") !== "0" || headers.has("transfer-encoding");
}

/** `Server-Timing` starts with `oso;` because the Node client reads only its first entry. */
function commonHeaders(exchange: Exchange): Record<string, string> {
  const headers: Record<string, string> = {
    "X-Request-ID": exchange.longRequestId ?? exchange.requestId,
    "Server-Timing": `oso;dur=${Math.round((performance.now() - exchange.startedMs) * 1000) / 1000}`,
  };
  if (exchange.hints.length > 0) headers[hintHeader] = headerText([...new Set(exchange.hints)].join("; "));
  const traceId = traceIdOf(exchange.span);
  if (traceId !== null) headers["X-Trace-Id"] = traceId;
  if (exchange.node.role === "fallback") {
    const { ageMs } = exchange.node.health();
    if (ageMs !== null) headers["X-Ostiary-Snapshot-Age-Ms"] = String(Math.round(ageMs));
  }
  return headers;
}

/** Records the first and the last phase of a request as spans. Engine and writer record the phases between them. */
function recordPhases(exchange: Exchange, answeredMs: number): void {
  const nowMs = performance.now();
  const origin = preciseNow() - nowMs;
  const { startedMs, decodedMs } = exchange;
  if (decodedMs !== undefined) recordSpan("decode", { startTime: origin + startedMs, endTime: origin + decodedMs });
  recordSpan("reply", { startTime: origin + answeredMs, endTime: origin + nowMs });
}

/**
 * A UUID whose last digits count the requests of this process: it has to be unique, but not secret. The digits that
 * most ids share are made once, which saves 0.1 µs per request.
 */
function newRequestId(): string {
  const index = requests % lastDigits.length;
  if (index === 0)
    firstDigits =
      processId +
      Math.floor(requests / lastDigits.length)
        .toString(16)
        .padStart(9, "0");
  requests += 1;
  return firstDigits + (lastDigits[index] ?? "");
}

const processId = crypto.randomUUID().slice(0, -12);
const lastDigits = Array.from({ length: 0x1000 }, (_, index) => index.toString(16).padStart(3, "0"));
let firstDigits = "";
let requests = 0;
