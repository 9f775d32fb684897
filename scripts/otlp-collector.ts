/**
 * A small trace collector: it receives OTLP over HTTP (protobuf, like that of the nodes), keeps the spans in memory and
 * returns those of one trace. With it `scripts/up` can draw a trace across nodes and the tests can check one, without
 * other programs.
 */
import * as Bun from "bun";
import { gunzipSync } from "node:zlib";
import { bytes, integer, messages, readMessage, text, type Message } from "./protobuf.ts";

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty at the root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  /** The `service.instance.id` of its node, or its `service.name`. */
  readonly node: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly failed: boolean;
  /** The failure of the span, and its exceptions. */
  readonly failures: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

type AttributeValue = string | number | boolean;

export interface Collector {
  /** The value for `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly url: string;
  readonly spans: readonly Span[];
  trace(traceId: string): readonly Span[];
  stop(): Promise<void>;
}

export function startCollector(): Collector {
  const spans: Span[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    async fetch(request) {
      if (new URL(request.url).pathname !== "/v1/traces") return new Response("no such path", { status: 404 });
      const raw = await request.bytes();
      const body = request.headers.get("content-encoding") === "gzip" ? new Uint8Array(gunzipSync(raw)) : raw;
      spans.push(...decodeTraces(body));
      return new Response(new Uint8Array(), { headers: { "Content-Type": "application/x-protobuf" } });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    spans,
    trace: (traceId) => spans.filter((span) => span.traceId === traceId),
    stop: () => server.stop(true),
  };
}

/** `ExportTraceServiceRequest` of opentelemetry-proto; the numbers are its field numbers. */
export function decodeTraces(body: Uint8Array): Span[] {
  return messages(readMessage(body), 1).flatMap((resourceSpans) => {
    const resource = attributes(messages(resourceSpans, 1).flatMap((message) => messages(message, 1)));
    const node = String(resource["service.instance.id"] ?? resource["service.name"] ?? "");
    return messages(resourceSpans, 2).flatMap((scope) => messages(scope, 2).map((span) => decodeSpan(span, node)));
  });
}

function decodeSpan(span: Message, node: string): Span {
  const start = integer(span, 7);
  const status = messages(span, 15).at(0);
  return {
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentSpanId: hex(span, 4),
    name: text(span, 5),
    kind: Number(integer(span, 6)),
    node,
    startMs: Number(start) / 1e6,
    durationMs: Number(integer(span, 8) - start) / 1e6,
    failed: status !== undefined && integer(status, 3) === 2n,
    failures: [...(status === undefined ? [] : [text(status, 2)]), ...exceptions(span)].filter((said) => said !== ""),
    attributes: attributes(messages(span, 9)),
    links: messages(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
  };
}

function exceptions(span: Message): string[] {
  return messages(span, 11).flatMap((event) => Object.values(attributes(messages(event, 3))).map(String));
}

/** Numbers, strings and booleans. Lists and maps, which the nodes do not send, are ignored. */
function attributes(pairs: readonly Message[]): Record<string, AttributeValue> {
  const result: Record<string, AttributeValue> = {};
  for (const pair of pairs) {
    const value = messages(pair, 2).at(0);
    if (value?.has(1)) result[text(pair, 1)] = text(value, 1);
    else if (value?.has(2)) result[text(pair, 1)] = integer(value, 2) !== 0n;
    else if (value?.has(3)) result[text(pair, 1)] = Number(BigInt.asIntN(64, integer(value, 3)));
    else if (value?.has(4)) result[text(pair, 1)] = double(integer(value, 4));
  }
  return result;
}

function double(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

const hex = (message: Message, field: number): string => Buffer.from(bytes(message, field)).toString("hex");
